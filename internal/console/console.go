// Package console serves the page at "/": the live streams, each with a
// player, and how to publish. The page is bundled from web/ into dist/, which
// is embedded; a binary built without the bundle says how to make it.
package console

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/internal/auth"
	"sluice/internal/httpd"
	"sluice/internal/module"
)

//go:embed all:dist
var bundle embed.FS

// policy lets the page load nothing but its own assets, and fetch from nowhere
// but its own server and where other modules have it fetch from: the facts say
// that, as late as when it is asked for. WebSockets are not limited: to some
// browsers those of the own server are not its own, and behind a proxy it does
// not know its name.
func policy(f *module.Facts) string {
	fetch := []string{"'self'"}
	for name, origins := range f.All() {
		if strings.HasPrefix(name, module.FactFetch) && !strings.ContainsAny(origins, ";,") { // which end what they are part of
			fetch = append(fetch, strings.Fields(origins)...)
		}
	}
	slices.Sort(fetch)
	from := strings.Join(slices.Compact(fetch), " ")
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"media-src 'self' blob:; connect-src ws: wss: " + from + "; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
}

// Config is the section "console".
type Config struct {
	Enable bool `yaml:"enable" doc:"Whether the page at / is served."`
}

// Enabled implements [module.Switch].
func (c Config) Enabled() bool { return c.Enable }

// Validate implements [module.Config].
func (Config) Validate() error { return nil }

// Describe declares the module.
func Describe() module.Descriptor {
	return module.Describe("console", Config{Enable: true}, build)
}

// Console is the module. It has no life of its own: the HTTP port serves it.
type Console struct{}

func build(_ context.Context, _ Config, d module.Deps) (module.Module, error) {
	dist, err := fs.Sub(bundle, "dist")
	if err != nil {
		return nil, fmt.Errorf("opening the bundle: %w", err)
	}
	addRoutes(d, dist)
	return Console{}, nil
}

func addRoutes(d module.Deps, dist fs.FS) {
	d.HTTP.Handle(auth.Public, "/", page(dist, d.Facts))
	d.HTTP.Handle(auth.Public, "/assets/", httpd.Methods{http.MethodGet: assets(dist)})
	d.HTTP.Handle(auth.Control, "/console/streams", httpd.Methods{http.MethodGet: streams(d.Streams, d.Sessions)})
	d.HTTP.Handle(auth.Control, "/console/facts", httpd.Methods{http.MethodGet: facts(d.Facts)})
}

// Run implements [module.Module].
func (Console) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

const unbuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sluice</title>
<h1>Sluice is running</h1>
<p>This binary was built without its page. Build both with <code>make web build</code>; it needs Node.js.
Everything else works without it.</p>
</html>
`

// page answers "/" alone: the route is also the prefix of all that nobody
// else serves.
func page(dist fs.FS, f *module.Facts) http.Handler {
	html, err := fs.ReadFile(dist, "index.html")
	if err != nil {
		html = []byte(unbuilt)
	}
	get := httpd.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy(f))
		h.Set("Referrer-Policy", "same-origin")
		serve(w, r, "index.html", html)
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/" {
			httpd.NotFound(w, r)
			return
		}
		get.ServeHTTP(w, r)
	})
}

// assets answers with files that may be kept for ever: their names change with
// their contents.
func assets(dist fs.FS) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.EscapedPath(), "/")
		data, err := fs.ReadFile(dist, name)
		if err != nil {
			httpd.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		serve(w, r, name, data)
	}
}

func serve(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}

// contentType knows the types in the bundle, so that none depends on the
// tables of the machine.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
