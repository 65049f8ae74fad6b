// Package module says what a module is to the rest of the server: something
// with a name, a configuration section, and a lifetime. Modules are listed in
// cmd/sluice and built by the app; they never see each other.
package module

import (
	"context"
	"fmt"
	"log/slog"

	"sluice/internal/httpd"
	"sluice/internal/session"
	"sluice/internal/stream"
)

// Module is a part of the server with a lifetime of its own.
type Module interface {
	// Run works until ctx is done or the module fails, and returns when
	// nothing that it started is running any more.
	Run(ctx context.Context) error
}

// Deps is what every module may use.
type Deps struct {
	Log      *slog.Logger // carries the module's name already
	Streams  *stream.Registry
	Sessions *session.List
	HTTP     *httpd.Mux // for routes; only while the module is being built
	Facts    *Facts
}

// Config is the configuration section of a module.
type Config interface {
	// Validate reports all mistakes at once, joined, each as "key: text".
	Validate() error
}

// Switch is implemented by a [Config] that can turn its module off.
type Switch interface{ Enabled() bool }

// Descriptor names a module and tells how to configure and build it.
type Descriptor struct {
	// Name is the module's name in logs and the name of its section.
	Name string
	// With names a section whose Switch turns this module off as well; empty
	// means none.
	With string
	// Default is the section with its default values.
	Default Config
	// Build returns the finished module, which has bound its listener, if it
	// has one, and added its routes.
	Build func(ctx context.Context, cfg Config, d Deps) (Module, error)
}

// Describe declares a module whose configuration section has type C.
func Describe[C Config](name string, def C, build func(context.Context, C, Deps) (Module, error)) Descriptor {
	return Descriptor{
		Name:    name,
		Default: def,
		Build: func(ctx context.Context, cfg Config, d Deps) (Module, error) {
			c, ok := cfg.(C)
			if !ok {
				return nil, fmt.Errorf("module: %s is configured by a %T", name, cfg)
			}
			return build(ctx, c, d)
		},
	}
}
