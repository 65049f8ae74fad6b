package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"sluice/internal/conf"
	"sluice/internal/httpd"
	"sluice/internal/module"
)

// Options say what a server is made of, and where its configuration is.
type Options struct {
	// Modules are all modules of the binary, in the order of their sections.
	Modules []module.Descriptor
	// Absent names the sections of modules that the binary was built without,
	// each with the name that its build tag has.
	Absent map[string]string
	// File is the configuration file. Empty means the first of ./sluice.yaml
	// and /etc/sluice/sluice.yaml that exists, or none.
	File string
	// Env are the variables of the environment, each "NAME=value".
	Env []string
	// Set are the assignments of the command line, each "section.key=value".
	Set []string
}

// Config is a configuration without mistakes.
type Config struct {
	file    string
	modules []module.Descriptor
	values  *conf.Values
}

// The sections that belong to no module.
const (
	sectionHTTP = "http"
	sectionLog  = "log"
)

// Sections returns the sections of a server with those modules.
func Sections(modules []module.Descriptor) []conf.Section {
	all := []conf.Section{{Name: sectionHTTP, Default: httpd.DefaultConfig()}}
	for _, m := range modules {
		all = append(all, conf.Section{Name: m.Name, Default: m.Default})
	}
	return append(all, conf.Section{Name: sectionLog, Default: LogConfig{Level: "info", Format: "text"}})
}

// Load reads the configuration. Its error holds all mistakes at once.
func Load(o Options) (*Config, error) {
	sections := Sections(o.Modules)
	if err := conf.Check(sections); err != nil {
		return nil, fmt.Errorf("this binary declares its configuration wrong: %w", err)
	}
	file, doc, err := readFile(o.File)
	if err != nil {
		return nil, err
	}
	values, err := conf.Decode(conf.Source{Name: file, Doc: doc, Env: o.Env, Set: o.Set}, sections, o.Absent)
	if err != nil {
		return nil, err
	}
	return &Config{file, o.Modules, values}, nil
}

// readFile returns the name and the content of the file in force, nothing
// where there is none.
func readFile(name string) (string, []byte, error) {
	if name != "" {
		doc, err := read(name)
		return name, doc, err
	}
	for _, name := range []string{"sluice.yaml", "/etc/sluice/sluice.yaml"} {
		doc, err := read(name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return name, doc, err
		}
	}
	return "", nil, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, conf.MaxBytes+1)) // one more, so that the decoder complains
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return doc, nil
}

// YAML prints everything in force, secrets hidden.
func (c *Config) YAML() []byte { return c.values.YAML() }

// Warnings are things in the configuration that may be meant differently.
func (c *Config) Warnings() []string { return c.values.Warnings() }

// enabled tells whether a module is to be built: neither its own section nor
// the one that it goes with turns it off.
func (c *Config) enabled(d module.Descriptor) bool {
	for _, name := range []string{d.Name, d.With} {
		if name == "" {
			continue
		}
		section := c.values.Section(name)
		if s, ok := section.(module.Switch); section == nil || ok && !s.Enabled() {
			return false
		}
	}
	return true
}

// LogConfig is the section "log".
type LogConfig struct {
	_      struct{}  `doc:"What is written to the standard error."`
	Level  LogLevel  `yaml:"level" doc:"The least level that is written: debug, info, warn or error."`
	Format LogFormat `yaml:"format" doc:"text or json, one line for each event."`
}

// Validate implements [module.Config].
func (LogConfig) Validate() error { return nil }

// LogLevel is the least level that is logged.
type LogLevel string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *LogLevel) UnmarshalText(text []byte) error {
	switch v := LogLevel(text); v {
	case "debug", "info", "warn", "error":
		*l = v
		return nil
	}
	return fmt.Errorf("%q is none of debug, info, warn, error", text)
}

// MarshalText implements [encoding.TextMarshaler].
func (l LogLevel) MarshalText() ([]byte, error) { return []byte(l), nil }

// LogFormat is how events are written.
type LogFormat string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch v := LogFormat(text); v {
	case "text", "json":
		*f = v
		return nil
	}
	return fmt.Errorf("%q is neither text nor json", text)
}

// MarshalText implements [encoding.TextMarshaler].
func (f LogFormat) MarshalText() ([]byte, error) { return []byte(f), nil }

// Logger returns the logger that the configuration asks for.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	cfg, _ := c.values.Section(sectionLog).(LogConfig) // declared in Sections
	o := &slog.HandlerOptions{}
	switch cfg.Level {
	case "debug":
		o.Level = slog.LevelDebug
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
