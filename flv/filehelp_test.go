package flv_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
)

// memFile is a file in memory. Its write number failAt fails after half of it.
type memFile struct {
	b      []byte
	writes int
	failAt int
}

var errDisk = errors.New("no space left")

func (m *memFile) WriteAt(b []byte, at int64) (int, error) {
	m.writes++
	n, err := len(b), error(nil)
	if m.writes == m.failAt {
		n, err = n/2, errDisk
	}
	if grow := int(at) + n - len(m.b); grow > 0 {
		m.b = append(m.b, make([]byte, grow)...)
	}
	copy(m.b[at:], b[:n])
	return n, err
}

func (m *memFile) ReadAt(b []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(b, at) }

// packets are what a stream hands out of a file: its tracks, its onMetaData
// and everything else but the configurations, on a timeline that begins at
// start.
func packets(tb testing.TB, name string, start time.Duration) (tracks []media.Track, meta *media.Packet, all []*media.Packet) {
	tb.Helper()
	tracks, _ = tracksOf(tb, name)
	tags := flvtest.Tags(tb, name)
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		p.DTS = tag.DTS + start
		switch {
		case p.Type == media.Metadata && p.Kind == media.Data:
			meta = &p
		case p.Type != media.Config:
			all = append(all, &p)
		}
	}
	return tracks, meta, all
}

// record writes a file and finishes it.
func record(tb testing.TB, w io.WriterAt, name string, start time.Duration, index int) flv.FileInfo {
	tb.Helper()
	f := recordUnfinished(tb, w, name, start, index)
	if err := f.Finish(); err != nil {
		tb.Fatal(err)
	}
	return f.Info()
}

func recordUnfinished(tb testing.TB, w io.WriterAt, name string, start time.Duration, index int) *flv.FileWriter {
	tb.Helper()
	tracks, meta, all := packets(tb, name, start)
	f, err := flv.NewFileWriter(w, flv.FileOptions{Tracks: tracks, Metadata: meta, Index: index})
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range all {
		if err := f.Write(p); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

// probe is what ffprobe says of a file.
type probe struct {
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
	Streams []struct {
		Type  string `json:"codec_type"`
		Codec string `json:"codec_name"`
	} `json:"streams"`
	Packets []struct {
		Type  string `json:"codec_type"`
		Flags string `json:"flags"`
		DTS   string `json:"dts_time"`
		Pos   string `json:"pos"`
	} `json:"packets"`
}

func (p probe) duration(tb testing.TB) time.Duration {
	tb.Helper()
	s, err := strconv.ParseFloat(p.Format.Duration, 64)
	if err != nil {
		tb.Fatalf("ffprobe says duration %q", p.Format.Duration)
	}
	return time.Duration(s * float64(time.Second)).Round(ms)
}

// ffprobe looks at a file in which it must find no error.
func ffprobe(tb testing.TB, file []byte) probe {
	tb.Helper()
	p, complaints := runFFprobe(tb, file)
	if complaints != "" {
		tb.Fatalf("ffprobe complains:\n%s", complaints)
	}
	return p
}

func runFFprobe(tb testing.TB, file []byte) (p probe, complaints string) {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "probed.flv")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), "ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_packets", "-of", "json", name)
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("ffprobe: %v\n%s", err, text.Bytes())
	}
	if err := json.Unmarshal(out, &p); err != nil {
		tb.Fatal(err)
	}
	return p, text.String()
}

func number(tb testing.TB, props amf0.ECMAArray, key string) float64 {
	tb.Helper()
	v, _ := props.Get(key)
	n, ok := v.(float64)
	if !ok {
		tb.Fatalf("%s is %v", key, v)
	}
	return n
}

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	return time.Duration(math.Round(f*1000)) * ms, err
}
