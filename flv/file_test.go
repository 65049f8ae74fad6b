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

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/flv"
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
func packets(t testing.TB, name string, start time.Duration) (tracks []media.Track, meta *media.Packet, all []*media.Packet) {
	t.Helper()
	tracks, _ = tracksOf(t, name)
	_, tags := mustRead(t, fixture(t, name))
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
func record(t testing.TB, w io.WriterAt, name string, start time.Duration, index int) flv.FileInfo {
	t.Helper()
	f := recordUnfinished(t, w, name, start, index)
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	return f.Info()
}

func recordUnfinished(t testing.TB, w io.WriterAt, name string, start time.Duration, index int) *flv.FileWriter {
	t.Helper()
	tracks, meta, all := packets(t, name, start)
	f, err := flv.NewFileWriter(w, flv.FileOptions{Tracks: tracks, Metadata: meta, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := f.Write(p); err != nil {
			t.Fatal(err)
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

func (p probe) duration(t testing.TB) time.Duration {
	t.Helper()
	s, err := strconv.ParseFloat(p.Format.Duration, 64)
	if err != nil {
		t.Fatalf("ffprobe says duration %q", p.Format.Duration)
	}
	return time.Duration(s * float64(time.Second)).Round(ms)
}

// ffprobe looks at a file in which it must find no error.
func ffprobe(t testing.TB, file []byte) probe {
	t.Helper()
	p, complaints := runFFprobe(t, file)
	if complaints != "" {
		t.Fatalf("ffprobe complains:\n%s", complaints)
	}
	return p
}

func runFFprobe(t testing.TB, file []byte) (p probe, complaints string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "probed.flv")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_packets", "-of", "json", name)
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, text.Bytes())
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	return p, text.String()
}

func number(t testing.TB, props amf0.ECMAArray, key string) float64 {
	t.Helper()
	v, _ := props.Get(key)
	n, ok := v.(float64)
	if !ok {
		t.Fatalf("%s is %v", key, v)
	}
	return n
}

func TestAFinishedFileTellsItsLengthAndItsKeyFrames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_bframes_aac.flv", "h264_alaw8k.flv", "h264_mp3.flv", "h264_only.flv", "aac_only.flv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var file memFile
			info := record(t, &file, name, 3*time.Hour, 0)
			if info.Size != int64(len(file.b)) {
				t.Errorf("Info().Size = %d of %d bytes", info.Size, len(file.b))
			}
			h, tags := mustRead(t, file.b)
			checkTags(t, name, tags)
			if h.Audio != info.Audio || h.Video != info.Video || h.Video != (name != "aac_only.flv") || h.Audio != (name != "h264_only.flv") {
				t.Errorf("header %+v, info %+v", h, info)
			}
			props := properties(t, tags[0].Body)
			if got := number(t, props, "filesize"); got != float64(len(file.b)) {
				t.Errorf("filesize %v of %d bytes", got, len(file.b))
			}
			if got := number(t, props, "duration"); got != info.Duration.Seconds() {
				t.Errorf("duration %v, Info() says %v", got, info.Duration)
			}
			checkIndex(t, file.b, h.Video)

			p := ffprobe(t, file.b)
			if got := p.duration(t); (got - info.Duration).Abs() > 40*ms {
				t.Errorf("ffprobe: duration %v, want %v", got, info.Duration)
			}
			if want := 1 + btoi(h.Audio && h.Video); len(p.Streams) != want {
				t.Errorf("ffprobe: %d streams, want %d", len(p.Streams), want)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkTags compares a recording with what was recorded.
func checkTags(t *testing.T, name string, got []flv.Tag) {
	t.Helper()
	_, want := mustRead(t, fixture(t, name))
	bodies := func(tags []flv.Tag, typ uint8) (b [][]byte, dts []time.Duration) {
		for _, tag := range tags {
			if tag.Type == typ {
				b, dts = append(b, tag.Body), append(dts, tag.DTS)
			}
		}
		return b, dts
	}
	for _, typ := range []uint8{flv.TagAudio, flv.TagVideo} {
		gotBodies, gotDTS := bodies(got, typ)
		wantBodies, wantDTS := bodies(want, typ)
		if !cmp.Equal(gotBodies, wantBodies) {
			t.Errorf("type %d: other bodies than those recorded", typ)
		}
		if diff := cmp.Diff(wantDTS, gotDTS); diff != "" {
			t.Errorf("type %d: other times (-want +got):\n%s", typ, diff)
		}
	}
}

// checkIndex compares the index of a file with the key frames that ffprobe
// finds, where there is video.
func checkIndex(t *testing.T, file []byte, video bool) {
	t.Helper()
	index, err := flv.ReadIndex(bytes.NewReader(file))
	if err != nil || len(index) < 3 {
		t.Fatalf("ReadIndex() = %+v, %v", index, err)
	}
	first := tagAt(t, file, index[0].Offset)
	if p := flv.ParseBody(first.Type, first.Body); video && p.Type != media.Config || index[0].DTS != 0 {
		t.Errorf("entry 0 is of type %d at %v, want the configuration", p.Type, index[0].DTS)
	}
	var want []flv.KeyFrame
	for _, p := range ffprobe(t, file).Packets {
		if p.Type != "video" || p.Flags[0] != 'K' {
			continue
		}
		pos, errPos := strconv.ParseInt(p.Pos, 10, 64)
		dts, errDTS := strconv.ParseFloat(p.DTS, 64)
		if errPos != nil || errDTS != nil {
			t.Fatalf("ffprobe: %+v", p)
		}
		want = append(want, flv.KeyFrame{Offset: pos, DTS: time.Duration(math.Round(dts*1000)) * ms})
	}
	if video && !cmp.Equal(index[1:], want) {
		t.Errorf("index %+v, ffprobe finds %+v", index[1:], want)
	}
}

func tagAt(t *testing.T, file []byte, offset int64) flv.Tag {
	t.Helper()
	h, n, err := flv.ParseTagHeader(file[offset:])
	if err != nil {
		t.Fatal(err)
	}
	return flv.Tag{Type: h.Type, DTS: h.DTS, Body: file[offset+int64(n):][:h.BodyLen]}
}

func TestAFileWhoseWriterWasKilledPlaysUpToItsLastWholeTag(t *testing.T) {
	t.Parallel()
	var file memFile
	f := recordUnfinished(t, &file, "h264_aac.flv", 0, 0)
	h, tags := mustRead(t, file.b)
	checkTags(t, "h264_aac.flv", tags)
	if !h.Audio || !h.Video {
		t.Errorf("header %+v", h)
	}
	if _, ok := properties(t, tags[0].Body).Get("keyframes"); ok {
		t.Error("an unfinished file has an index")
	}
	// It goes by the time of the last tag, here the end of the video, and
	// does not know how long the last sound is.
	if got := ffprobe(t, file.b).duration(t); (got - f.Info().Duration).Abs() > 60*ms {
		t.Errorf("ffprobe: duration %v, want %v", got, f.Info().Duration)
	}
	// Killed while it wrote a tag: every whole one before is played.
	for _, n := range []int{len(file.b) - 5, len(file.b) - 300, len(file.b) - 3000, 100_000} {
		_, whole, err := readAll(bytes.NewReader(file.b[:n]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: error = %v", n, err)
		}
		want := 0
		for _, tag := range whole {
			if flv.ParseBody(tag.Type, tag.Body).Type == media.Frame {
				want++
			}
		}
		// It may also take what there is of the cut one, and complain.
		got, _ := runFFprobe(t, file.b[:n])
		if len(got.Packets) != want && len(got.Packets) != want+1 {
			t.Errorf("cut at %d: ffprobe finds %d packets, want %d", n, len(got.Packets), want)
		}
	}
}

func TestRecoverFinishesAFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_only.flv", "aac_only.flv", "h264_mulaw8k.flv"} {
		var want, file memFile
		wantInfo := record(t, &want, name, 0, 100)
		recordUnfinished(t, &file, name, 0, 100)
		file.b = append(file.b, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x27, 1)
		info, err := flv.Recover(&file, int64(len(file.b)))
		if err != nil || info != wantInfo {
			t.Errorf("%s: Recover() = %+v, %v; want %+v", name, info, err, wantInfo)
		}
		file.b = file.b[:info.Size]
		if !bytes.Equal(file.b, want.b) {
			t.Errorf("%s: not what Finish makes of it", name)
		}
	}
}

func TestRecoverOfAnythingElse(t *testing.T) {
	t.Parallel()
	if _, err := flv.Recover(&memFile{}, 0); !errors.Is(err, flv.ErrShort) {
		t.Errorf("of nothing: %v, want ErrShort", err)
	}
	if _, err := flv.Recover(&memFile{b: []byte("<html><body>")}, 12); !errors.Is(err, flv.ErrHeader) {
		t.Errorf("of a page: %v, want ErrHeader", err)
	}
	// A file that left no room is not touched.
	foreign := fixture(t, "h264_aac.flv")
	file := memFile{b: bytes.Clone(foreign)}
	info, err := flv.Recover(&file, int64(len(foreign)))
	if err != nil || info.Size != int64(len(foreign)) || !bytes.Equal(file.b, foreign) {
		t.Errorf("of a foreign file: %+v, %v", info, err)
	}
	// Zeros, as a file system leaves them when the power fails.
	file.b = append(file.b, make([]byte, 5000)...)
	if info, err = flv.Recover(&file, int64(len(file.b))); err != nil || info.Size != int64(len(foreign)) {
		t.Errorf("with zeros behind: %+v, %v; want %d bytes", info, err, len(foreign))
	}
	for n := range 400 {
		file := memFile{b: bytes.Clone(foreign[:n])}
		if info, err := flv.Recover(&file, int64(n)); err == nil && (info.Size > int64(n)+4 || !bytes.Equal(file.b, foreign[:n])) {
			t.Errorf("cut at %d: %+v", n, info)
		}
	}
}

func TestTheIndexThinsOutWhenItsRoomIsFull(t *testing.T) {
	t.Parallel()
	const room, keys = 8, 100
	var file memFile
	tracks, _ := tracksOf(t, "h264_only.flv")
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks, Index: room})
	if err != nil {
		t.Fatal(err)
	}
	metaEnd := len(file.b)
	for i := range keys {
		key := flv.ParseVideo(unhex(t, "17 01 000000 65"))
		key.DTS = time.Duration(i) * time.Second
		inter := flv.ParseVideo(unhex(t, "27 01 000000 41"))
		inter.DTS = key.DTS + 500*ms
		if err := errors.Join(f.Write(&key), f.Write(&inter)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	index, err := flv.ReadIndex(&file)
	if err != nil || len(index) > room || len(index) < room/2 {
		t.Fatalf("ReadIndex() = %+v, %v", index, err)
	}
	step := index[2].DTS - index[1].DTS
	for i, k := range index[1:] {
		if want := time.Duration(i) * step; k.DTS != want {
			t.Errorf("entry %d at %v, want %v", i+1, k.DTS, want)
		}
		if tag := tagAt(t, file.b, k.Offset); tag.DTS != k.DTS || tag.Body[0] != 0x17 {
			t.Errorf("entry %d points at %+v", i+1, tag)
		}
	}
	_, tags := mustRead(t, file.b)
	props := properties(t, tags[0].Body)
	if got := number(t, props, "lastkeyframetimestamp"); got != keys-1 {
		t.Errorf("lastkeyframetimestamp %v, want %d", got, keys-1)
	}
	if tags[1].Body[1] != 0 || metaEnd <= flv.HeaderLen {
		t.Error("the index has overrun its room")
	}
}

func TestFileTimesBeginAtZeroAndNeverRunBackwards(t *testing.T) {
	t.Parallel()
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		t.Fatal(err)
	}
	const base = 77 * time.Minute
	for _, p := range []struct {
		wire string
		dts  time.Duration
	}{
		{"17 01 000000 65", 0}, {"af 01 21", -15 * ms}, {"27 01 000000 41", 40 * ms}, {"af 01 21", 8 * ms},
		{"27 01 000000 41", 20 * ms}, {"27 01 000000 41", 80 * ms}, {"af 01 21", 29 * ms},
	} {
		packet := flv.ParseVideo(unhex(t, p.wire))
		if p.wire[0] == 'a' {
			packet = flv.ParseAudio(unhex(t, p.wire))
		}
		packet.DTS = base + p.dts
		if err := f.Write(&packet); err != nil {
			t.Fatal(err)
		}
	}
	_, tags := mustRead(t, file.b)
	var got []time.Duration
	for _, tag := range tags[1:] {
		got = append(got, tag.DTS)
	}
	want := []time.Duration{0, 0, 40 * ms, 8 * ms, 40 * ms, 80 * ms, 29 * ms}
	if !cmp.Equal(got, want) {
		t.Errorf("times %v, want %v", got, want)
	}

	late := flv.ParseVideo(unhex(t, "27 01 000000 41"))
	late.DTS = base + 1<<31*ms
	if err := f.Write(&late); !errors.Is(err, flv.ErrFileFull) {
		t.Errorf("Write() at 2^31 ms: error = %v, want ErrFileFull", err)
	}
	late.DTS -= ms
	if err := errors.Join(f.Write(&late), f.Finish()); err != nil {
		t.Error(err)
	}
	if err := f.Write(&late); !errors.Is(err, flv.ErrFinished) {
		t.Errorf("Write() after Finish(): error = %v, want ErrFinished", err)
	}
}

func TestWhatIsNoContentIsLeftOutOfAFile(t *testing.T) {
	t.Parallel()
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		t.Fatal(err)
	}
	before := f.Info().Size
	empty, clearing := flv.ParseAudio(nil), flv.ParseScript(unhex(t, "02 000f 40636c656172446174614672616d65"))
	for _, p := range []*media.Packet{&empty, &clearing, onMetaData(t, amf0.Object{})} {
		if err := f.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.Info().Size; got != before {
		t.Errorf("%d bytes were written", got-before)
	}
	text := flv.ParseScript(unhex(t, "02 000a 6f6e5465787444617461 05"))
	if err := f.Write(&text); err != nil || f.Info().Size == before {
		t.Errorf("a text was left out, %v", err)
	}
}

func TestFlagsSayWhatCameAndNotWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	tracks, _, all := packets(t, "h264_aac.flv", 0)
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Kind != media.Audio { // the configuration came, the sound did not
			if err := f.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if h, _ := mustRead(t, file.b); !h.Audio || !h.Video {
		t.Errorf("before the end: %+v, want what was announced", h)
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	h, tags := mustRead(t, file.b)
	hasAudio, _ := properties(t, tags[0].Body).Get("hasAudio")
	hasVideo, _ := properties(t, tags[0].Body).Get("hasVideo")
	if h != (flv.Header{Video: true}) || hasAudio != false || hasVideo != true {
		t.Errorf("header %+v, hasAudio %v, hasVideo %v", h, hasAudio, hasVideo)
	}
}

func TestAfterAFullDiskTheFileIsWhole(t *testing.T) {
	t.Parallel()
	tracks, meta, all := packets(t, "h264_aac.flv", 0)
	var want memFile
	record(t, &want, "h264_aac.flv", 0, 0)

	file := memFile{failAt: 60}
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks, Metadata: meta})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, p := range all {
		err := f.Write(p)
		if errors.Is(err, errDisk) {
			failed++
			if _, _, err := readAll(bytes.NewReader(file.b[:f.Info().Size])); err != nil {
				t.Errorf("the file up to Info().Size: %v", err)
			}
			err = f.Write(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file.failAt = file.writes + 1
	if err := f.Finish(); !errors.Is(err, errDisk) {
		t.Errorf("Finish() error = %v", err)
	}
	if err := f.Finish(); err != nil || failed != 1 || !bytes.Equal(file.b, want.b) {
		t.Errorf("Finish() once more: %v; %d failures; the file is another one: %t", err, failed, !bytes.Equal(file.b, want.b))
	}
}

func TestAFileCannotBeBegunOnAFullDisk(t *testing.T) {
	t.Parallel()
	if f, err := flv.NewFileWriter(&memFile{failAt: 1}, flv.FileOptions{}); !errors.Is(err, errDisk) || f != nil {
		t.Errorf("NewFileWriter() error = %v", err)
	}
}

func BenchmarkFileWriter(b *testing.B) {
	f, err := flv.NewFileWriter(discard{}, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		b.Fatal(err)
	}
	p := flv.ParseVideo(append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 4000)...))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Write(&p); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	return time.Duration(math.Round(f*1000)) * ms, err
}
