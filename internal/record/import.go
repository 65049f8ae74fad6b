package record

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sluice/internal/stream"
)

const (
	entrySuffix = ".json"
	// maxEntry is the longest entry that is read.
	maxEntry = 64 << 10
)

// importEntries takes over the catalogue of versions before the database, which
// was a folder with one file for each recording. The files go when the
// database has what they say; those that are damaged stay.
func (c *catalog) importEntries() error {
	names, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	var all []Facts
	for _, n := range names {
		id, isEntry := strings.CutSuffix(n.Name(), entrySuffix)
		if !isEntry || !isID(id) {
			continue
		}
		f, err := c.readEntry(id)
		if err != nil {
			c.log.Error("left out a damaged entry of the catalogue", "file", n.Name(), "err", err)
			continue
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil
	}
	if err := c.db.putAll(all); err != nil {
		return fmt.Errorf("taking over the catalogue: %w", err)
	}
	for _, f := range all {
		_ = os.Remove(filepath.Join(c.dir, f.ID+entrySuffix)) // one that stays is not read again
	}
	return nil
}

// readEntry returns one recording from its file.
func (c *catalog) readEntry(id string) (Facts, error) {
	f, err := os.Open(filepath.Join(c.dir, id+entrySuffix))
	if err != nil {
		return Facts{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry))
	if err != nil {
		return Facts{}, err
	}
	var e Facts
	if err := json.Unmarshal(b, &e); err != nil {
		return Facts{}, err
	}
	return e, e.check(id)
}

// check tells what is wrong with facts that were read.
func (f *Facts) check(id string) error {
	if err := stream.CheckPath(f.StreamPath); err != nil {
		return err
	}
	switch {
	case f.ID != id:
		return fmt.Errorf("its id is %q", f.ID)
	case !f.State.known():
		return fmt.Errorf("its state is %q", f.State)
	case !filepath.IsLocal(filepath.FromSlash(f.File)), path.Clean(f.File) != f.File,
		!strings.HasSuffix(f.File, extension):
		return fmt.Errorf("its file is %q", f.File)
	}
	return nil
}
