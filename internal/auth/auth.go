// Package auth decides who may do what: it knows the scopes of the server's
// routes and guards the control calls.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Scope says who may use a route.
type Scope uint8

// The scopes, narrow ones last.
const (
	Public  Scope = iota // anybody, always: health, the page's own assets
	Play                 // anybody, until play access is configured
	Control              // whoever holds the token, or calls from this machine
)

// ErrControl refuses a control call. Its text says how to get in.
var ErrControl = errors.New("control calls need the token: set SLUICE_HTTP_TOKEN on the server and send " +
	"\"Authorization: Bearer …\", or call from this machine without a proxy")

// Guard checks control calls. It is immutable and safe for concurrent use.
type Guard struct {
	token [sha256.Size]byte
	open  bool
}

// NewGuard returns a guard for that token. Without a token only callers from
// this machine get in.
func NewGuard(token string) *Guard {
	return &Guard{token: sha256.Sum256([]byte(token)), open: token == ""}
}

// Check returns nil if the request may do what the scope covers.
//
// With a token configured, a control call must carry it as a bearer token.
// Without one the caller must have a loopback address and have said a loopback
// name in Host; a forwarding header or a foreign Origin show that somebody
// else stands behind that address: a proxy, or a page in this machine's
// browser.
func (g *Guard) Check(r *http.Request, s Scope) error {
	if s != Control {
		return nil
	}
	if !g.open {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
			return nil
		}
		return ErrControl
	}
	if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) || isForwarded(r.Header) || !isOwnOrigin(r) {
		return ErrControl
	}
	return nil
}

func isForwarded(h http.Header) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if len(h.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// isOwnOrigin tells whether the request has no Origin, or that of this server:
// the name of the host is loopback by then, and the port must be the same too.
func isOwnOrigin(r *http.Request) bool {
	o := r.Header.Get("Origin")
	if o == "" {
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "same-origin" || site == "none" // none: typed by the user
	}
	u, err := url.Parse(o)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// isLoopback tells whether a host or host:port names this machine.
func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
