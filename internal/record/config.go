package record

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/conf"
	"sluice/internal/glob"
)

const (
	maxWindow = time.Hour
	// A segment that is shorter than this costs more than it holds: the room
	// for its index alone takes 72 KiB.
	minSegment     = time.Second
	minSegmentSize = conf.MiB
)

// Config is the section "record" of the configuration.
type Config struct {
	Dir     string `yaml:"dir" doc:"Folder for the recordings, made when the first one begins."`
	Catalog string `yaml:"catalog" doc:"Folder for the list of recordings, which must lie outside dir. Empty: beside dir, with .catalog added to its name."`
	Name    Name   `yaml:"name" doc:"Names of the files, below dir. {path} is the stream path, {name} its last part, {time} {date} {unix} the start in UTC, {id} the recording, {seq} the number of a segment. A name that is taken gets a number behind it."`

	Auto         []glob.Pattern `yaml:"auto" doc:"Streams that are recorded without being asked, as patterns: * within a part of the path, ** over several."`
	Window       conf.Duration  `yaml:"window" doc:"How far back a recording can begin that is started with ?before, if that is more than the newest key frame. Costs the memory of that much of each stream."`
	WindowMemory conf.Size      `yaml:"window_memory" doc:"The most that window keeps of one stream."`

	Segment SegmentConfig `yaml:"segment" doc:"Where a recording goes on in a new file, at the next key frame."`
	Retain  RetainConfig  `yaml:"retain" doc:"What is deleted, oldest first. Nothing else ever deletes a recording, and running ones stay."`
	MinFree MinFree       `yaml:"min_free" doc:"The room on the disk below which nothing is recorded: a size, or auto, the smaller of 5% and 1GiB. 0 turns that off."`

	S3 S3Config `yaml:"s3" doc:"Storage for finished recordings."`
}

// SegmentConfig says when a recording goes on in a new file.
type SegmentConfig struct {
	Duration conf.Duration `yaml:"duration" doc:"After this time, 1s or more; 0: never."`
	Size     conf.Size     `yaml:"size" doc:"At this size, 1MiB or more; 0: never."`
}

// RetainConfig says which recordings are deleted.
type RetainConfig struct {
	Age       conf.Duration `yaml:"age" doc:"Those that ended longer ago than this; 0: none."`
	Bytes     conf.Size     `yaml:"bytes" doc:"The oldest ones while all on the disk together are larger than this; 0: none."`
	PerStream int           `yaml:"per_stream" doc:"The oldest ones of a stream that has more than this many; 0: none."`
}

// MinFree is the room that recordings leave on the disk.
type MinFree struct {
	Auto bool // the smaller of 5 % and 1 GiB
	Size conf.Size
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *MinFree) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*m = MinFree{Auto: true}
		return nil
	}
	var size conf.Size
	if err := size.UnmarshalText(text); err != nil {
		return fmt.Errorf("neither auto nor a size: %w", err)
	}
	*m = MinFree{Size: size}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (m MinFree) MarshalText() ([]byte, error) {
	if m.Auto {
		return []byte("auto"), nil
	}
	return m.Size.MarshalText()
}

// Default returns the configuration that works without a file.
func Default() Config {
	return Config{
		Dir: "./recordings", Name: defaultName, WindowMemory: 32 * conf.MiB, MinFree: MinFree{Auto: true},
		S3: S3Config{KeepLocal: KeepLocal{ForGood: true}},
	}
}

// Validate implements [module.Config].
func (c Config) Validate() error {
	errs := append(c.S3.validate(), c.checkFolders())
	if err := c.Name.check(); err != nil {
		errs = append(errs, fmt.Errorf("name: %w", err))
	}
	if c.Window.D() > maxWindow {
		errs = append(errs, fmt.Errorf("window: at most %v", conf.Duration(maxWindow)))
	}
	if d := c.Segment.Duration.D(); d > 0 && d < minSegment {
		errs = append(errs, fmt.Errorf("segment.duration: at least %v", minSegment))
	}
	if z := c.Segment.Size; z > 0 && z < minSegmentSize {
		errs = append(errs, fmt.Errorf("segment.size: at least %v", minSegmentSize))
	}
	if c.Retain.PerStream < 0 {
		errs = append(errs, errors.New("retain.per_stream: must not be negative"))
	}
	return errors.Join(errs...)
}

func (c Config) checkFolders() error {
	if c.Dir == "" {
		return errors.New("dir: must not be empty")
	}
	dir, catalog, err := c.folders()
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, catalog); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return errors.New("catalog: must lie outside dir, whose files are served")
	}
	return nil
}

// folders returns the absolute names of both folders, so that a later change
// of the working directory moves nothing.
func (c Config) folders() (dir, catalog string, err error) {
	if dir, err = filepath.Abs(c.Dir); err != nil {
		return "", "", errors.New("dir: " + err.Error())
	}
	if c.Catalog == "" {
		return dir, dir + ".catalog", nil
	}
	if catalog, err = filepath.Abs(c.Catalog); err != nil {
		return "", "", errors.New("catalog: " + err.Error())
	}
	return dir, catalog, nil
}
