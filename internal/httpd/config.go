package httpd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"sluice/internal/conf"
)

// Config is the section "http".
type Config struct {
	_              struct{}       `doc:"The HTTP port, and the same with TLS where that is set: viewers, recordings, the page and health."`
	Listen         string         `yaml:"listen" doc:"Address to listen on, host:port. Without a host it is all addresses of the machine, port 0 is any free one."`
	Token          conf.Secret    `yaml:"token" doc:"Token for control calls (Authorization: Bearer …). Without one they are allowed from this machine only."`
	TokenFile      string         `yaml:"token_file" doc:"File that the token is read from at start, in place of token."`
	MaxConnections int            `yaml:"max_connections" doc:"How many connections may be open at a time on both ports; one more is answered 503. Viewers that are watching are not counted, but for those of HTTP/2, which share a connection."`
	MaxPending     int            `yaml:"max_pending" doc:"How many of them one address may have open; one more is answered 503. Trusted proxies are not bound."`
	TrustedProxies []conf.Network `yaml:"trusted_proxies" doc:"Addresses or networks of proxies through which many viewers come: max_pending does not hold for them. By default it is this machine."`
	TLS            TLSConfig      `yaml:"tls" doc:"HTTPS, with HTTP/2."`
}

// TLSConfig is the part "http.tls".
type TLSConfig struct {
	Listen string `yaml:"listen" doc:"Address to listen on with TLS (HTTPS, HTTP/2, wss), host:port; empty means not at all. The plain port goes on."`
	Cert   string `yaml:"cert" doc:"File with the certificate and its chain, PEM. It is read again when it changes."`
	Key    string `yaml:"key" doc:"File with the key of the certificate, PEM. It is read again when it changes."`
}

// DefaultConfig returns the section's defaults.
func DefaultConfig() Config {
	return Config{Listen: ":8080", MaxConnections: 10_000, MaxPending: 500, TrustedProxies: conf.ThisMachine()}
}

// maxToken bounds the token, and so what is read of its file.
const maxToken = 4096

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %q is not host:port, such as :8080 or 127.0.0.1:8080", c.Listen))
	}
	if c.Token != "" && c.TokenFile != "" {
		errs = append(errs, errors.New("token_file: set either token or token_file"))
	}
	if err := checkToken(string(c.Token)); err != nil {
		errs = append(errs, fmt.Errorf("token: %w", err))
	}
	if c.MaxConnections < 1 {
		errs = append(errs, errors.New("max_connections: must be positive"))
	}
	if c.MaxPending < 1 {
		errs = append(errs, errors.New("max_pending: must be positive"))
	}
	return errors.Join(append(errs, c.TLS.validate()...)...)
}

func (c TLSConfig) validate() (errs []error) {
	if c.Listen == "" {
		if c.Cert != "" || c.Key != "" {
			errs = append(errs, errors.New("tls.listen: needed with tls.cert and tls.key"))
		}
		return errs
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("tls.listen: %q is not host:port, such as :8443", c.Listen))
	}
	if c.Cert == "" {
		errs = append(errs, errors.New("tls.cert: needed with tls.listen"))
	}
	if c.Key == "" {
		errs = append(errs, errors.New("tls.key: needed with tls.listen"))
	}
	return errs
}

// token returns the token in force.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return string(c.Token), nil
	}
	f, err := os.Open(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("http.token_file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+64)) // some of it may be white space
	if err != nil {
		return "", fmt.Errorf("http.token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("http.token_file: %s is empty", c.TokenFile)
	}
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("http.token_file: %s: %w", c.TokenFile, err)
	}
	return token, nil
}

// checkToken tells whether a token can stand in a header.
func checkToken(token string) error {
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return errors.New("has spaces or characters other than ASCII, which cannot be sent in a header")
		}
	}
	if len(token) > maxToken {
		return fmt.Errorf("longer than %d characters", maxToken)
	}
	return nil
}
