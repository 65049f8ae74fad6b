package rtmp

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Limits of what a client may call a stream.
const (
	MaxName  = 1024 // bytes of a path
	MaxQuery = 4096 // bytes of one query
)

// The ports of URLs that name none.
const (
	DefaultPort    = "1935" // of rtmp://
	DefaultPortTLS = "443"  // of rtmps://, as ffmpeg and OBS have it
)

// ErrName is wrapped by errors about an application, a stream name or an RTMP
// URL that cannot be used.
var ErrName = &Error{"bad_path", "rtmp: bad stream name"}

// Location is where a client wants to publish or play, however it spelled it.
type Location struct {
	// Path is the application and the name as one path: no query, no prefix
	// such as "mp4:", no empty segment, no "_definst_". Whatever else the
	// client wrote is still in it, percent-encoding and ".." included.
	Path string
	// Query is what follows a "?", wherever that stood. A parameter of the name
	// beats that of the application, and this the one of the URL. A "+" is a
	// plus.
	Query url.Values
	// Split tells that Path may end with a piece of a token: clients cut their
	// URL at a "/", also at one inside the query.
	Split bool
}

// Locate brings the tcUrl and the application of a connect command and the
// name of a publish or play command into one form.
//
// Encoders cut the same URL at different places and let the query stay
// wherever it falls, or write it into the field for the server. OBS leaves the
// name empty when it is part of the server's URL.
func Locate(tcURL, app, name string) (Location, error) {
	_, fromURL, _ := strings.Cut(tcURL, "?")
	app, fromApp, split := strings.Cut(app, "?")
	name, fromName, _ := strings.Cut(name, "?")
	loc := Location{Query: make(url.Values)}
	for _, q := range []string{fromURL, fromApp, fromName} {
		if len(q) > MaxQuery {
			return Location{}, fmt.Errorf("%w: a query longer than %d bytes", ErrName, MaxQuery)
		}
		mergeQuery(loc.Query, q)
	}
	root := segments(app)
	leaf := segments(cutPrefix(strings.Trim(name, " /")))
	loc.Split = split && len(root) > 1 && len(leaf) > 0
	loc.Path = strings.Join(append(root, leaf...), "/")
	if len(loc.Path) > MaxName {
		return Location{}, fmt.Errorf("%w: longer than %d bytes", ErrName, MaxName)
	}
	return loc, nil
}

// cutPrefix drops the file type that Flash-style clients put before a name.
func cutPrefix(name string) string {
	for _, p := range []string{"mp4:", "mp3:", "flv:"} {
		if rest, ok := strings.CutPrefix(name, p); ok {
			return rest
		}
	}
	return name
}

// segments returns what lies between slashes, but for nothing at all and the
// name of Flash's default instance.
func segments(s string) []string {
	var out []string
	for seg := range strings.SplitSeq(strings.Trim(s, " "), "/") {
		if seg != "" && seg != "_definst_" {
			out = append(out, seg)
		}
	}
	return out
}

// mergeQuery sets the parameters of q in v. Unlike that of forms, the query of
// a stream name leaves "+" alone, which tokens in base64 contain.
func mergeQuery(v url.Values, q string) {
	for pair := range strings.SplitSeq(q, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key = unescape(key); key != "" {
			v.Set(key, unescape(value))
		}
	}
}

// unescape decodes percent-encoding, and leaves alone what is none.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// URL is an RTMP URL as a client uses it.
type URL struct {
	TLS  bool   // rtmps://
	Host string // host:port
	App  string // the first segment of the path
	Name string // the rest, its query included
}

// ParseURL reads rtmp://host[:port]/app/name?query, or the same with rtmps. The name may have several
// segments, and its query may contain anything but a fragment; nothing is
// decoded. Without a name, its query stays alone in Name.
func ParseURL(s string) (URL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	secure := strings.EqualFold(scheme, "rtmps")
	if !ok || !secure && !strings.EqualFold(scheme, "rtmp") {
		return URL{}, fmt.Errorf("%w: %.200q does not begin with rtmp:// or rtmps://", ErrName, redact(s))
	}
	port := DefaultPort
	if secure {
		port = DefaultPortTLS
	}
	at := strings.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	host, err := parseHost(rest[:at], port)
	if err != nil {
		return URL{}, err
	}
	path, query, hasQuery := strings.Cut(rest[at:], "?")
	if strings.Contains(rest[at:], "#") {
		return URL{}, fmt.Errorf("%w: a \"#\" in %.200q must be written as %%23", ErrName, redact(s))
	}
	app, name, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if app == "" {
		return URL{}, fmt.Errorf("%w: %.200q names no application: rtmp://host/app/name", ErrName, redact(s))
	}
	if len(path) > MaxName || len(query) > MaxQuery {
		return URL{}, fmt.Errorf("%w: longer than %d bytes, or its query than %d", ErrName, MaxName, MaxQuery)
	}
	if hasQuery {
		name += "?" + query
	}
	return URL{TLS: secure, Host: host, App: app, Name: strings.TrimLeft(name, "/")}, nil
}

// parseHost checks the authority of a URL and adds the port where it has none.
func parseHost(authority, port string) (string, error) {
	const longest = 512 // a name has 253
	if len(authority) > longest {
		return "", fmt.Errorf("%w: the host is longer than %d bytes", ErrName, longest)
	}
	u, err := url.Parse("rtmp://" + authority)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: the host %.200q cannot be read", ErrName, redact(authority))
	case u.User != nil:
		return "", fmt.Errorf("%w: a user name in an RTMP URL is not supported, put a token into the query", ErrName)
	case u.Hostname() == "":
		return "", fmt.Errorf("%w: the URL names no host", ErrName)
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return "", fmt.Errorf("%w: an IPv6 address is written as [%s]", ErrName, authority)
	case u.Port() == "":
		return net.JoinHostPort(u.Hostname(), port), nil
	}
	return u.Host, nil
}

// redact cuts a query, which may hold a token, and a user name and password.
func redact(s string) string {
	s, _, _ = strings.Cut(s, "?")
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	authority, path, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return s
	}
	return scheme + "://…" + authority[at:] + "/" + path
}

// TCURL returns the URL of the application, which a connect command carries.
func (u URL) TCURL() string {
	scheme := "rtmp://"
	if u.TLS {
		scheme = "rtmps://"
	}
	return scheme + u.Host + "/" + u.App
}

// String returns the whole URL without its query, which may hold a token.
func (u URL) String() string { return redact(u.TCURL() + "/" + u.Name) }
