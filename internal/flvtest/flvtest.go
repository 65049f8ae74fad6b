// Package flvtest gives tests the media that all packages share, and what is in
// a file.
package flvtest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"sluice/flv"
	"sluice/media"
)

// Root returns the folder of the project.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, os.ErrNotExist) || up == dir {
			tb.Fatalf("there is no go.mod above the test: %v", err)
		}
		dir = up
	}
}

// Path returns the path of a file in testdata/media.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	return filepath.Join(Root(tb), "testdata", "media", name)
}

// Bytes returns a file in testdata/media.
func Bytes(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(Path(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Tags returns the tags of a file in testdata/media.
func Tags(tb testing.TB, name string) []flv.Tag {
	tb.Helper()
	_, tags, err := Read(bytes.NewReader(Bytes(tb, name)))
	if err != nil {
		tb.Fatal(err)
	}
	return tags
}

// Packets returns the packets of a file in testdata/media.
func Packets(tb testing.TB, name string) []media.Packet {
	tb.Helper()
	return Parse(Tags(tb, name))
}

// Read returns the header and the tags of a file, and the error that ended it,
// nil for its end.
func Read(r io.Reader) (h flv.Header, tags []flv.Tag, err error) {
	in := flv.NewReader(r)
	if h, err = in.Header(); err != nil {
		return h, nil, err
	}
	for {
		tag, err := in.Next()
		if errors.Is(err, io.EOF) {
			return h, tags, nil
		}
		if err != nil {
			return h, tags, err
		}
		tags = append(tags, tag)
	}
}

// Parse returns the packets of tags, as a publisher would send them.
func Parse(tags []flv.Tag) []media.Packet {
	packets := make([]media.Packet, len(tags))
	for i, tag := range tags {
		packets[i] = flv.ParseBody(tag.Type, tag.Body)
		packets[i].DTS = tag.DTS
	}
	return packets
}
