package record

import (
	"errors"
	"path/filepath"
	"strings"
)

// Config is the section "record" of the configuration.
type Config struct {
	Dir     string   `yaml:"dir" doc:"Folder for the recordings, made when the first one begins."`
	Catalog string   `yaml:"catalog" doc:"Folder for the list of recordings, which must lie outside dir. Empty: beside dir, with .catalog added to its name."`
	S3      S3Config `yaml:"s3" doc:"Storage for finished recordings."`
}

// Default returns the configuration that works without a file.
func Default() Config {
	return Config{Dir: "./recordings", S3: S3Config{KeepLocal: KeepLocal{ForGood: true}}}
}

// Validate implements [module.Config].
func (c Config) Validate() error {
	return errors.Join(append(c.S3.validate(), c.checkFolders())...)
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
