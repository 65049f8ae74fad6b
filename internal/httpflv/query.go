package httpflv

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"sluice/internal/httpd"
	"sluice/internal/rendition"
	"sluice/internal/session"
)

// maxQuery bounds what is read of a query.
const maxQuery = 4 << 10

// parseAsk reads the query. A bad value is an error that names it; a name that
// is not known is ignored, since caches and CDNs add their own.
func (c Config) parseAsk(r *http.Request) (rendition.Request, error) {
	a := rendition.Request{Wait: c.Wait.D(), Spec: rendition.Spec{Profile: defaultProfile(r.Header)}}
	a.Join, _ = rendition.ParseJoin(string(c.Join)) // auto is none
	if len(r.URL.RawQuery) > maxQuery {
		return a, badQuery("the query is longer than %d bytes", maxQuery)
	}
	for _, p := range append(a.Params(),
		rendition.Param{Name: "profile", Values: "raw or web", Read: func(v string) (ok bool) {
			a.Spec.Profile, ok = parseProfile(v)
			return ok
		}},
		rendition.Choice("hevc", &a.Spec.LegacyHEVC, "enhanced", "legacy"),
	) {
		v, ok, err := lastOf(r.URL.RawQuery, p.Name)
		if err != nil {
			return a, badQuery("the query cannot be read: a '%%' needs two hexadecimal digits, and ';' separates nothing")
		}
		if ok && !p.Read(v) {
			return a, badQuery("%s=%.40q: expected %s", p.Name, v, p.Values)
		}
	}
	if a.Spec.Profile == rendition.Raw {
		a.Spec.LegacyHEVC = false // for browsers alone
	} else if a.Spec.Track == rendition.AllTracks {
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

func parseProfile(name string) (p rendition.Profile, ok bool) {
	switch name {
	case "raw":
		return rendition.Raw, true
	case "web":
		return rendition.Web, true
	}
	return p, false
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
