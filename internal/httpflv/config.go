package httpflv

import (
	"errors"
	"fmt"
	"time"

	"sluice/internal/conf"
	"sluice/internal/fanout"
	"sluice/internal/rendition"
)

// Config is the section "flv" of the configuration.
type Config struct {
	Enable       bool          `yaml:"enable" doc:"false: nothing under /flv/ exists, neither play nor recording; RTMP goes on."`
	MaxLag       conf.Duration `yaml:"max_lag" doc:"A viewer further behind than this is moved to the newest key frame."`
	Wait         conf.Duration `yaml:"wait" doc:"How long a viewer may wait for a publisher before it is answered 404, at most 60s."`
	Flush        Flush         `yaml:"flush" doc:"The least time between two writes to one viewer, 0ms to 1s, or auto: as short as the load allows."`
	Join         Join          `yaml:"join" doc:"Where a viewer begins that does not say so itself: auto (edge for browsers; for others gop while that is at most 2s back), gop (the newest key frame), edge (the same, squeezed up to the live edge) or next (the next key frame)."`
	WriteTimeout conf.Duration `yaml:"write_timeout" doc:"A viewer whose connection takes nothing for this long is closed."`
	MaxWaiting   int           `yaml:"max_waiting" doc:"How many viewers may wait for a publisher at a time; one more is answered 503."`
	StreamMemory conf.Size     `yaml:"stream_memory" doc:"What is kept of one stream for viewers that are behind, over all the forms that they take."`
}

// DefaultConfig returns the section's defaults.
func DefaultConfig() Config {
	return Config{
		Enable:       true,
		MaxLag:       conf.Duration(3 * time.Second),
		Wait:         conf.Duration(5 * time.Second),
		Flush:        Flush{Auto: true},
		Join:         "auto",
		WriteTimeout: conf.Duration(10 * time.Second),
		MaxWaiting:   1000,
		StreamMemory: 32 << 20,
	}
}

// minStreamMemory is what a key frame of the largest kind needs, in several
// forms at a time.
const minStreamMemory = 1 << 20

// Enabled implements module.Switch.
func (c Config) Enabled() bool { return c.Enable }

// Validate implements module.Config.
func (c Config) Validate() error {
	var errs []error
	if c.MaxLag <= 0 {
		errs = append(errs, errors.New("max_lag: must be positive"))
	}
	if c.Wait.D() > rendition.MaxWait {
		errs = append(errs, fmt.Errorf("wait: at most %v", rendition.MaxWait))
	}
	if c.WriteTimeout.D() < time.Second {
		errs = append(errs, errors.New("write_timeout: at least 1s"))
	}
	if c.MaxWaiting < 0 {
		errs = append(errs, errors.New("max_waiting: must not be negative"))
	}
	if c.StreamMemory < minStreamMemory {
		errs = append(errs, errors.New("stream_memory: at least 1MiB"))
	}
	return errors.Join(errs...)
}

// maxFlush bounds a fixed pace.
const maxFlush = time.Second

// Flush is the pace of writes: "auto", or a duration.
type Flush fanout.Pace

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Flush) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*f = Flush{Auto: true}
		return nil
	}
	var d conf.Duration
	if err := d.UnmarshalText(text); err != nil {
		return fmt.Errorf("neither auto nor a duration: %w", err)
	}
	if d.D() > maxFlush {
		return fmt.Errorf("at most %v", maxFlush)
	}
	*f = Flush{Gap: d.D()}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (f Flush) MarshalText() ([]byte, error) {
	if f.Auto {
		return []byte("auto"), nil
	}
	return conf.Duration(f.Gap).MarshalText()
}

// Join is where a viewer begins: "auto", "gop", "edge" or "next".
type Join string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (j *Join) UnmarshalText(text []byte) error {
	switch v := Join(text); v {
	case "auto", "gop", "edge", "next":
		*j = v
		return nil
	}
	return fmt.Errorf("%q is none of auto, gop, edge, next", text)
}
