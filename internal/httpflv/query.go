package httpflv

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/internal/httpd"
	"sluice/internal/rendition"
	"sluice/internal/session"
)

// maxQuery bounds what is read of a query.
const maxQuery = 4 << 10

// ask is what a request for a stream says in its query.
type ask struct {
	wait time.Duration
	join rendition.Join
	spec rendition.Spec
}

// parseAsk reads the query. A bad value is an error that names it; a name that
// is not known is ignored, since caches and CDNs add their own.
func (c Config) parseAsk(r *http.Request) (ask, error) {
	a := ask{wait: c.Wait.D(), spec: rendition.Spec{Profile: defaultProfile(r.Header)}}
	a.readJoin(string(c.Join)) // auto stays what it is
	if len(r.URL.RawQuery) > maxQuery {
		return a, badQuery("the query is longer than %d bytes", maxQuery)
	}
	for _, p := range []struct {
		name, values string
		read         func(v string) bool
	}{
		{"wait", "a duration from 0s to 60s", a.readWait},
		{"join", "gop, edge or next", a.readJoin},
		{"profile", "raw or web", a.readProfile},
		{"track", "0 to 255, or all", a.readTrack},
		{"hevc", "legacy or enhanced", func(v string) bool { a.spec.LegacyHEVC = v == "legacy"; return v == "legacy" || v == "enhanced" }},
		{"audio", "on or off", func(v string) bool { a.spec.NoAudio = v == "off"; return v == "on" || v == "off" }},
		{"video", "on or off", func(v string) bool { a.spec.NoVideo = v == "off"; return v == "on" || v == "off" }},
	} {
		v, ok, err := lastOf(r.URL.RawQuery, p.name)
		if err != nil {
			return a, badQuery("the query cannot be read: a '%%' needs two hexadecimal digits, and ';' separates nothing")
		}
		if ok && !p.read(v) {
			return a, badQuery("%s=%.40q: expected %s", p.name, v, p.values)
		}
	}
	if a.spec.Profile == rendition.Raw {
		a.spec.LegacyHEVC = false // for browsers alone
	} else if a.spec.Track == rendition.AllTracks {
		return a, badQuery("track=all: players in browsers take one track of each kind; profile=raw has all")
	}
	return a, nil
}

// lastOf returns the last value of a name in a query, as [url.ParseQuery] would,
// which makes a map of many times the query's size.
func lastOf(query, name string) (value string, ok bool, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		if strings.Contains(pair, ";") {
			return "", false, errors.New("semicolon in a query")
		}
		k, v, _ := strings.Cut(pair, "=")
		if k, err = url.QueryUnescape(k); err != nil {
			return "", false, err
		}
		if v, err = url.QueryUnescape(v); err != nil {
			return "", false, err
		}
		if k == name {
			value, ok = v, true
		}
	}
	return value, ok, nil
}

func (a *ask) readWait(v string) bool {
	const longest = len("0h0m59.999999999s") + 16
	if len(v) > longest {
		return false // the error of the parser would quote it whole, four bytes for each
	}
	d, err := time.ParseDuration(v)
	a.wait = d
	return err == nil && d >= 0 && d <= maxWait
}

func (a *ask) readJoin(v string) bool {
	switch v {
	case "gop":
		a.join = rendition.GOP
	case "edge":
		a.join = rendition.Edge
	case "next":
		a.join = rendition.Next
	default:
		return false
	}
	return true
}

func (a *ask) readTrack(v string) bool {
	if v == "all" {
		a.spec.Track = rendition.AllTracks
		return true
	}
	n, err := strconv.ParseUint(v, 10, 8)
	a.spec.Track = int(n) //nolint:gosec // of 8 bits
	return err == nil
}

func (a *ask) readProfile(v string) bool {
	switch v {
	case "raw":
		a.spec.Profile = rendition.Raw
	case "web":
		a.spec.Profile = rendition.Web
	default:
		return false
	}
	return true
}

// defaultProfile tells browsers from other players: a page on plain http sends
// neither Origin nor Sec-Fetch-Mode to a host in the local network.
func defaultProfile(h http.Header) rendition.Profile {
	if h.Get("Origin") != "" || h.Get("Sec-Fetch-Mode") != "" || strings.HasPrefix(h.Get("User-Agent"), "Mozilla/") {
		return rendition.Web
	}
	return rendition.Raw
}

func badQuery(format string, args ...any) error {
	return because(session.ErrBadQuery, httpd.NewProblem(http.StatusBadRequest, fmt.Sprintf(format, args...)))
}
