package rtmpd

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"sluice/internal/conf"
	"sluice/internal/module"
	"sluice/internal/rendition"
)

// Config is the section "rtmp" of the configuration.
type Config struct {
	Listen           string         `yaml:"listen" doc:"Address to listen on: host:port, or :port for all addresses."`
	HandshakeTimeout conf.Duration  `yaml:"handshake_timeout" doc:"How long a client may take for the handshake, and from there until it publishes or plays."`
	PublishTimeout   conf.Duration  `yaml:"publish_timeout" doc:"How long a publisher may take until its first audio or video."`
	IdleTimeout      conf.Duration  `yaml:"idle_timeout" doc:"A publisher that sends no audio or video for this long is closed. One that is silent for 5s gives way to another that wants its path."`
	ReconnectWindow  conf.Duration  `yaml:"reconnect_window" doc:"How long viewers and recordings are held for a publisher whose connection was lost or has fallen silent, at most 10m; 0s ends them at once."`
	ReadGap          conf.Duration  `yaml:"read_gap" doc:"While many publish (32 for each processor), what each of them sends gathers for up to this long, at most 100ms, which makes reading it several times cheaper; 0s reads every packet at once."`
	MaxConnections   int            `yaml:"max_connections" doc:"How many connections may be open; those that play are not counted."`
	MaxPending       int            `yaml:"max_pending" doc:"How many connections of one address may be open without publishing or playing; trusted proxies are not bound."`
	TrustedProxies   []conf.Network `yaml:"trusted_proxies" doc:"Addresses or networks of proxies through which many clients come: max_pending does not hold for them. By default it is this machine."`
	TLS              TLSConfig      `yaml:"tls" doc:"RTMPS, for those who publish and those who play."`
	Play             PlayConfig     `yaml:"play" doc:"Players by RTMP. What they have in common with those of HTTP has the same names under flv."`
}

// TLSConfig is the part "rtmp.tls".
type TLSConfig struct {
	Listen string `yaml:"listen" doc:"Address to listen on with TLS (RTMPS), host:port; empty means not at all. The plain port goes on."`
	Cert   string `yaml:"cert" doc:"File with the certificate and its chain, PEM. It is read again when it changes."`
	Key    string `yaml:"key" doc:"File with the key of the certificate, PEM. It is read again when it changes."`
}

// PlayConfig is the part "rtmp.play".
type PlayConfig struct {
	MaxLag       conf.Duration `yaml:"max_lag" doc:"A player further behind than this is moved to the newest key frame."`
	Wait         conf.Duration `yaml:"wait" doc:"How long a player may wait for a publisher before it is told that there is none, at most 60s."`
	WriteTimeout conf.Duration `yaml:"write_timeout" doc:"A player whose connection takes nothing for this long is closed."`
	MaxWaiting   int           `yaml:"max_waiting" doc:"How many players may wait for a publisher at a time, half of them from one address unless it is a trusted proxy; one more is refused."`
	StreamMemory conf.Size     `yaml:"stream_memory" doc:"What is kept of one stream for players that are behind."`
}

// DefaultConfig returns the section's defaults.
func DefaultConfig() Config {
	return Config{
		Listen:           ":" + defaultPort,
		HandshakeTimeout: conf.Duration(10 * time.Second),
		PublishTimeout:   conf.Duration(15 * time.Second),
		IdleTimeout:      conf.Duration(10 * time.Second),
		ReconnectWindow:  conf.Duration(10 * time.Second),
		ReadGap:          conf.Duration(50 * time.Millisecond),
		MaxConnections:   4096,
		MaxPending:       20,
		TrustedProxies:   conf.ThisMachine(),
		Play: PlayConfig{
			MaxLag:       conf.Duration(3 * time.Second),
			Wait:         conf.Duration(5 * time.Second),
			WriteTimeout: conf.Duration(10 * time.Second),
			MaxWaiting:   1000,
			StreamMemory: 32 << 20,
		},
	}
}

const defaultPort = "1935"

// The bounds of the time limits: below the first good clients fail, beyond the
// second dead ones pile up.
const (
	minTimeout = time.Second
	maxTimeout = 10 * time.Minute
)

// maxReadGap bounds how late what a publisher sends may be read.
const maxReadGap = 100 * time.Millisecond

// minStreamMemory is what a key frame of the largest kind needs.
const minStreamMemory = 1 << 20

// Validate implements [module.Config].
func (c Config) Validate() error {
	var errs []error
	if err := checkAddress(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	for _, limit := range []struct {
		key string
		is  conf.Duration
	}{
		{"handshake_timeout", c.HandshakeTimeout},
		{"publish_timeout", c.PublishTimeout},
		{"idle_timeout", c.IdleTimeout},
	} {
		if d := limit.is.D(); d < minTimeout || d > maxTimeout {
			errs = append(errs, fmt.Errorf("%s: must be %v to %v", limit.key, conf.Duration(minTimeout), conf.Duration(maxTimeout)))
		}
	}
	if d := c.ReconnectWindow.D(); d < 0 || d > maxTimeout {
		errs = append(errs, fmt.Errorf("reconnect_window: must be %v to %v", conf.Duration(0), conf.Duration(maxTimeout)))
	}
	if d := c.ReadGap.D(); d < 0 || d > maxReadGap {
		errs = append(errs, fmt.Errorf("read_gap: must be %v to %v", conf.Duration(0), conf.Duration(maxReadGap)))
	}
	if c.MaxConnections < 1 {
		errs = append(errs, errors.New("max_connections: at least 1"))
	}
	if c.MaxPending < 1 {
		errs = append(errs, errors.New("max_pending: at least 1"))
	}
	return errors.Join(slices.Concat(errs, c.TLS.validate(), c.Play.validate())...)
}

func (c TLSConfig) validate() (errs []error) {
	if c.Listen == "" {
		if c.Cert != "" || c.Key != "" {
			errs = append(errs, errors.New("tls.listen: needed with tls.cert and tls.key"))
		}
		return errs
	}
	if err := checkAddress(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("tls.listen: %w", err))
	}
	if c.Cert == "" {
		errs = append(errs, errors.New("tls.cert: needed with tls.listen"))
	}
	if c.Key == "" {
		errs = append(errs, errors.New("tls.key: needed with tls.listen"))
	}
	return errs
}

func (c PlayConfig) validate() (errs []error) {
	if c.MaxLag <= 0 {
		errs = append(errs, errors.New("play.max_lag: must be positive"))
	}
	if c.Wait.D() > rendition.MaxWait {
		errs = append(errs, fmt.Errorf("play.wait: at most %v", conf.Duration(rendition.MaxWait)))
	}
	if c.WriteTimeout.D() < time.Second {
		errs = append(errs, errors.New("play.write_timeout: at least 1s"))
	}
	if c.MaxWaiting < 0 {
		errs = append(errs, errors.New("play.max_waiting: must not be negative"))
	}
	if c.StreamMemory < minStreamMemory {
		errs = append(errs, errors.New("play.stream_memory: at least 1MiB"))
	}
	return errs
}

func checkAddress(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q is no address, write host:port or :port", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port between 0 and 65535", listen)
	} else if n == 0 && port != "0" {
		return fmt.Errorf("the port of %q cannot be read", listen)
	}
	return nil
}

// Describe declares the module.
func Describe() module.Descriptor {
	return module.Describe("rtmp", DefaultConfig(), build)
}
