package record

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/stream"
)

// The properties of a file's onMetaData that a new catalogue is made from.
const (
	propStream  = "sluiceStream"
	propStarted = "sluiceStarted" // milliseconds of the epoch
)

// scanBatch is how many files a scan writes down at once.
const scanBatch = 200

// properties are what a file says of its recording.
func (f *Facts) properties() amf0.Object {
	return amf0.Object{
		{Key: propStream, Value: f.StreamPath},
		{Key: propStarted, Value: float64(f.StartedAt.UnixMilli())},
	}
}

// scan fills a catalogue that was made anew with what the files say. One that is
// cut short is made again by the next start.
func (s *store) scan(c *catalog) {
	begun := time.Now()
	var found []Facts
	n := 0
	flush := func() error {
		n += len(found)
		err := c.db.putAll(found)
		found = found[:0]
		c.note(err)
		return err
	}
	root, err := s.root()
	if err == nil {
		defer closeRoot(root)
		err = s.walk(c, root, begun, func(f Facts) error {
			if found = append(found, f); len(found) < scanBatch {
				return nil
			}
			return flush()
		})
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = c.db.setScans(scannedFiles)
	}
	switch {
	case errors.Is(err, errAborted):
	case err != nil:
		s.log.Error("could not look for recordings that the catalogue does not know", "err", err)
	case n > 0:
		s.log.Warn("found recordings that the catalogue did not know", "count", n)
	}
	s.signal()
}

// walk calls found for each file that the catalogue does not know and that
// nobody has written to since the scan began.
func (s *store) walk(c *catalog, root *os.Root, begun time.Time, found func(Facts) error) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		select {
		case <-s.stop:
			return errAborted
		default:
		}
		if err != nil || !d.Type().IsRegular() || path.Ext(name) != extension {
			return nil //nolint:nilerr // what cannot be read is no recording, for now
		}
		if _, known, err := c.byFile(name); known || err != nil {
			return err
		}
		info, err := root.Lstat(name)
		if err != nil || !info.ModTime().Before(begun) {
			return nil //nolint:nilerr // it has just gone, or come
		}
		f, err := s.examine(root, name, info)
		if errors.Is(err, errAborted) {
			return err
		}
		if err != nil {
			s.log.Warn("a file in the folder of recordings is none", "file", name, "err", err)
			return nil
		}
		return found(f)
	})
}

// examine returns what a file says of itself. One of ours that was not finished
// is, others stay as they are.
func (s *store) examine(root *os.Root, name string, info fs.FileInfo) (Facts, error) {
	file, err := root.Open(name)
	if err != nil {
		return Facts{}, err
	}
	props, err := flv.ReadProperties(file)
	file.Close()
	if err != nil {
		return Facts{}, err
	}
	f, ours := recount(name, props, info.Size(), info.ModTime())
	if ours && int64(number(props, "filesize", 1<<53)) != info.Size() {
		repaired, err := s.repair(name)
		if err != nil {
			return Facts{}, err
		}
		f.State, f.Bytes, f.DurationMs = Recovered, repaired.Size, repaired.Duration.Milliseconds()
	}
	end := f.lasted()
	if f.State == Recovered || info.ModTime().After(end) {
		end = instant(info.ModTime())
	}
	f.EndedAt = &end
	return f, stream.CheckPath(f.StreamPath)
}

// recount returns what a file says of its recording, which is taken for a
// finished one. ours tells whether this server wrote it.
func recount(name string, props amf0.Object, size int64, modified time.Time) (f Facts, ours bool) {
	f = Facts{File: name, State: Finished, Bytes: size, DurationMs: int64(number(props, "duration", maxSeconds) * 1000)}
	if ours = f.recall(props); !ours {
		f.guess(modified)
	}
	sum := sha256.Sum256([]byte(name))
	f.StartedAt = instant(f.StartedAt)
	f.ID = placeAt(f.StartedAt) + hex.EncodeToString(sum[:])[:8]
	return f, ours
}

// lasted returns when the recording was over, going by its duration.
func (f *Facts) lasted() time.Time {
	return instant(f.StartedAt.Add(time.Duration(f.DurationMs) * time.Millisecond))
}

// maxSeconds is the longest that a file can be, and some.
const maxSeconds = 1 << 32

// number returns a property that is a number from 0 to most, or 0.
func number(props amf0.Object, key string, most float64) float64 {
	v, _ := props.Get(key)
	if n, ok := v.(float64); ok && n >= 0 && n <= most {
		return n
	}
	return 0
}

// recall takes over what [Facts.properties] has put into a file.
func (f *Facts) recall(props amf0.Object) bool {
	v, _ := props.Get(propStream)
	f.StreamPath, _ = amf0.Text(v)
	ms := int64(number(props, propStarted, 1<<47))
	f.StartedAt = time.UnixMilli(ms)
	return ms > 0 && stream.CheckPath(f.StreamPath) == nil
}

// guess takes stream and start from the name of a file that does not tell them:
// one of an older version, or of somebody else.
func (f *Facts) guess(modified time.Time) {
	folder, base := path.Split(strings.TrimSuffix(f.File, extension))
	f.StartedAt = modified.Add(-time.Duration(f.DurationMs) * time.Millisecond)
	f.StreamPath = strings.TrimSuffix(folder, "/")
	if at, err := time.Parse(timeFormat, base[:min(len(base), len(timeFormat))]); err == nil {
		f.StartedAt = at
	}
	if f.StreamPath == "" {
		f.StreamPath = base
	}
	if plain, err := url.PathUnescape(f.StreamPath); err == nil {
		f.StreamPath = plain
	}
}
