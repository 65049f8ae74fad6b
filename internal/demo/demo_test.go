package demo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/flv"
	"sluice/internal/demo"
	"sluice/internal/flvtest"
	"sluice/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// sent is a tag and when it was sent.
type sent struct {
	flv.Tag
	packet media.Packet
	after  time.Duration // since the beginning
}

// sink keeps what it is sent and stops the playing once it has enough.
type sink struct {
	start  time.Time
	tags   []sent
	enough int
	stop   context.CancelFunc
	stall  map[int]time.Duration // how long the tag of this number takes
	err    error
}

func (s *sink) WriteTag(typ uint8, dts time.Duration, body []byte) error {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	s.tags = append(s.tags, sent{
		Tag:    flv.Tag{Type: typ, DTS: dts, Body: body},
		packet: flv.ParseBody(typ, body),
		after:  time.Since(s.start),
	})
	if d := s.stall[len(s.tags)]; d > 0 {
		<-time.After(d)
	}
	if len(s.tags) == s.enough {
		s.stop()
	}
	return s.err
}

// play plays a file until its end or until enough tags were sent.
func play(t *testing.T, file io.ReadSeeker, s *sink, o demo.Options) error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.stop = stop
	return demo.Play(ctx, file, s, o)
}

// mux makes a file of sound frames, each with a byte of its own, at the given
// times, with a configuration before them.
func mux(t *testing.T, times ...time.Duration) *bytes.Reader {
	t.Helper()
	b := flv.AppendHeader(nil, true, false)
	b, err := flv.AppendTag(b, flv.TagAudio, 0, []byte{0xaf, 0, 0x12, 0x10})
	for i, at := range times {
		if err == nil {
			b, err = flv.AppendTag(b, flv.TagAudio, at, []byte{0xaf, 1, byte(i)})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

func TestAFileIsPlayedAsItIsAndInRealTime(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "mutants/ts_wrap32.flv", "mutants/ts_24bit.flv"} {
		synctest.Test(t, func(t *testing.T) {
			var s sink
			if err := play(t, bytes.NewReader(flvtest.Bytes(t, name)), &s, demo.Options{}); err != nil {
				t.Fatal(err)
			}
			r := flv.NewReader(bytes.NewReader(flvtest.Bytes(t, name)))
			var first time.Duration
			begun := false
			for i := 0; ; i++ {
				want, err := r.Next()
				if errors.Is(err, io.EOF) {
					if i != len(s.tags) {
						t.Errorf("%s: %d tags were sent, want %d", name, len(s.tags), i)
					}
					break
				}
				got := s.tags[i]
				if diff := cmp.Diff(want, got.Tag); diff != "" {
					t.Fatalf("%s: tag %d (-want +got):\n%s", name, i, diff)
				}
				if got.packet.Type != media.Frame || got.packet.Kind == media.Data {
					continue
				}
				if !begun {
					first, begun = want.DTS, true
				}
				due := time.Duration(uint32((want.DTS-first)/ms)) * ms
				if late := got.after - due; late < 0 || late > 30*ms {
					t.Fatalf("%s: tag %d of %v was sent after %v", name, i, due, got.after)
				}
			}
		})
	}
}

func TestALoopHasNoSeam(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sink{enough: 5 * 1725}
		if err := play(t, demo.Picture(), &s, demo.Options{Loop: true}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		type part struct{ Metadata, Config, Sequence int }
		var parts part
		frames := map[media.Kind][]sent{}
		for _, tag := range s.tags {
			switch tag.packet.Type {
			case media.Metadata:
				parts.Metadata++
			case media.Config:
				parts.Config++
			case media.Sequence:
				parts.Sequence++
			default:
				frames[tag.packet.Kind] = append(frames[tag.packet.Kind], tag)
			}
		}
		if want := (part{Metadata: 1, Config: 2}); parts != want {
			t.Errorf("besides frames %+v, want %+v", parts, want)
		}
		for i, f := range frames[media.Video] {
			at := time.Duration(i) * 40 * ms
			if f.DTS != at || f.after != at || f.packet.CTS != 0 || f.packet.Key != (i%50 == 0) {
				t.Fatalf("picture %d at %v, sent after %v, key frame %t; want %v", i, f.DTS, f.after, f.packet.Key, at)
			}
		}
		for i, f := range frames[media.Audio] {
			at := time.Duration(i) * 1024 * time.Second / 48000
			if d := f.DTS - at; d.Abs() > ms {
				t.Fatalf("sound %d at %v, want %v", i, f.DTS, at)
			}
		}
	})
}

func TestAStallIsMadeUpForAndNothingComesEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sink{stall: map[int]time.Duration{60: 1500 * ms}}
		if err := play(t, bytes.NewReader(flvtest.Bytes(t, "h264_only.flv")), &s, demo.Options{}); err != nil {
			t.Fatal(err)
		}
		first := time.Duration(-1)
		for i, tag := range s.tags {
			if tag.packet.Type != media.Frame || tag.packet.Kind != media.Video {
				continue
			}
			if first < 0 {
				first = tag.DTS
			}
			due := tag.DTS - first
			if i >= 60 {
				due = max(due, s.tags[59].after+1500*ms)
			}
			if tag.after != due {
				t.Errorf("tag %d was sent after %v, want %v", i, tag.after, due)
			}
		}
	})
}

func TestTimesOfALoop(t *testing.T) {
	t.Parallel()
	const wrap = 1 << 32 * ms
	for name, tc := range map[string]struct {
		times []time.Duration
		want  []time.Duration
	}{
		"from zero":                {[]time.Duration{0, 20 * ms, 40 * ms}, []time.Duration{0, 20 * ms, 40 * ms, 60 * ms, 80 * ms, 100 * ms, 120 * ms}},
		"from anywhere":            {[]time.Duration{500 * ms, 520 * ms}, []time.Duration{500 * ms, 520 * ms, 540 * ms, 560 * ms, 580 * ms}},
		"a single frame":           {[]time.Duration{7 * ms}, []time.Duration{7 * ms, 47 * ms, 87 * ms}},
		"across the end of 32 bit": {[]time.Duration{wrap - 10*ms, 10 * ms}, []time.Duration{wrap - 10*ms, 10 * ms, 30 * ms, 50 * ms}},
		"with a jump":              {[]time.Duration{0, 20 * ms, 60020 * ms}, []time.Duration{0, 20 * ms, 60020 * ms, 60040 * ms, 60060 * ms}},
		"back again":               {[]time.Duration{5000 * ms, 5020 * ms, 0}, []time.Duration{5000 * ms, 5020 * ms, 0, 20 * ms, 40 * ms}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := sink{enough: 1 + len(tc.want)}
			if err := play(t, mux(t, tc.times...), &s, demo.Options{Loop: true}); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, tag := range s.tags[1:] {
				got = append(got, tag.DTS)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if last := s.tags[len(s.tags)-1].after; last > time.Second {
				t.Errorf("%s: waited %v", name, last)
			}
		})
	}
}

func TestAJumpOfTheClockIsSentAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s sink
		if err := play(t, bytes.NewReader(flvtest.Bytes(t, "mutants/jump_fwd60.flv")), &s, demo.Options{}); err != nil {
			t.Fatal(err)
		}
		last := s.tags[len(s.tags)-1]
		if last.DTS < time.Minute || last.after > 5*time.Second {
			t.Errorf("the last tag of %v was sent after %v", last.DTS, last.after)
		}
	})
}

func TestALoopSendsAChangedConfigurationAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := flv.AppendHeader(nil, true, false)
		for i, body := range [][]byte{{0xaf, 0, 0x12, 0x10}, {0xaf, 1, 1}, {0xaf, 0, 0x11, 0x88}, {0xaf, 1, 2}} {
			var err error
			if b, err = flv.AppendTag(b, flv.TagAudio, time.Duration(i)*10*ms, body); err != nil {
				t.Fatal(err)
			}
		}
		s := sink{enough: 8}
		if err := play(t, bytes.NewReader(b), &s, demo.Options{Loop: true}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for i, tag := range s.tags {
			if want := s.tags[i%4]; !bytes.Equal(tag.Body, want.Body) {
				t.Errorf("tag %d is %x, want %x", i, tag.Body, want.Body)
			}
		}
	})
}

func TestHowPlayingEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	cut := func(t *testing.T) io.ReadSeeker {
		t.Helper()
		return bytes.NewReader(flvtest.Bytes(t, "h264_aac.flv")[:40_000])
	}
	for name, tc := range map[string]struct {
		file func(*testing.T) io.ReadSeeker
		sink sink
		loop bool
		want error
	}{
		"a cut file":               {file: cut, want: io.ErrUnexpectedEOF},
		"a cut file in a loop":     {file: cut, sink: sink{enough: 1000}, loop: true, want: context.Canceled},
		"a receiver that is gone":  {file: cut, sink: sink{err: broken}, want: broken},
		"no file":                  {file: func(*testing.T) io.ReadSeeker { return bytes.NewReader([]byte("<!doctype html>")) }, loop: true, want: flv.ErrHeader},
		"an empty file":            {file: func(*testing.T) io.ReadSeeker { return bytes.NewReader(nil) }, want: io.ErrUnexpectedEOF},
		"an empty file in a loop":  {file: func(*testing.T) io.ReadSeeker { return bytes.NewReader(nil) }, loop: true, want: demo.ErrNothing},
		"nothing to play, in loop": {file: func(t *testing.T) io.ReadSeeker { t.Helper(); return mux(t) }, loop: true, want: demo.ErrNothing},
		"a pipe that cannot loop":  {file: func(t *testing.T) io.ReadSeeker { t.Helper(); return pipe{mux(t, 0)} }, loop: true, want: errPipe},
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := play(t, tc.file(t), &tc.sink, demo.Options{Loop: tc.loop}); !errors.Is(err, tc.want) {
				t.Errorf("%s: Play() error = %v, want %v", name, err, tc.want)
			}
		})
	}
}

var errPipe = errors.New("illegal seek")

type pipe struct{ io.Reader }

func (pipe) Seek(int64, int) (int64, error) { return 0, errPipe }

func TestPlayingStopsWithItsContextWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { stop(gone) })
		var s sink
		start := time.Now()
		err := demo.Play(ctx, mux(t, 0, 9*time.Second), &s, demo.Options{})
		if !errors.Is(err, gone) || time.Since(start) != 5*time.Second || len(s.tags) != 2 {
			t.Errorf("Play() error = %v after %v and %d tags", err, time.Since(start), len(s.tags))
		}
	})
}

// TestThePictureDecodesAcrossItsSeam has ffmpeg decode two and a half loops
// and listens at the seams, where no beep is.
func TestThePictureDecodesAcrossItsSeam(t *testing.T) {
	t.Parallel()
	var s sink
	synctest.Test(t, func(t *testing.T) {
		s.enough = 5 * 1725 / 2
		if err := play(t, demo.Picture(), &s, demo.Options{Loop: true}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
	file := flv.AppendHeader(nil, true, true)
	for _, tag := range s.tags {
		var err error
		if file, err = flv.AppendTag(file, tag.Type, tag.DTS, tag.Body); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "loops.flv")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-xerror", "-i", name,
		"-map", "0:v", "-f", "null", os.DevNull, "-map", "0:a", "-f", "s16le", "-ac", "1", "-")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	pcm, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("ffmpeg: %v\n%s", err, complaints.Bytes())
	}
	loudest := func(from, to time.Duration) int {
		loudest := 0
		for at := int(from.Milliseconds()) * 96; at < int(to.Milliseconds())*96; at += 2 {
			v := int(int16(uint16(pcm[at]) | uint16(pcm[at+1])<<8))
			loudest = max(loudest, v, -v)
		}
		return loudest
	}
	for _, seam := range []time.Duration{24 * time.Second, 48 * time.Second} {
		if v := loudest(seam-200*ms, seam+400*ms); v > 8 {
			t.Errorf("at the seam after %v the sound reaches %d, want silence", seam, v)
		}
		if v := loudest(seam+500*ms, seam+700*ms); v < 2000 || v > 10_000 {
			t.Errorf("behind the seam after %v the beep reaches %d, want it soft", seam, v)
		}
	}
}

func TestThePictureIsSmallAndWhatItSays(t *testing.T) {
	t.Parallel()
	b, err := io.ReadAll(demo.Picture())
	if err != nil || len(b) > 2_000_000 {
		t.Fatalf("%d bytes, %v; want at most 2 MB", len(b), err)
	}
	r := flv.NewReader(bytes.NewReader(b))
	var infos []flv.TrackInfo
	for {
		tag, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := flv.ParseBody(tag.Type, tag.Body); p.Type == media.Config {
			infos = append(infos, flv.DescribeTrack(media.Track{Kind: p.Kind, Codec: p.Codec, Config: &p}))
		}
	}
	want := []flv.TrackInfo{
		{Kind: media.Video, Codec: media.H264, Codecs: "avc1.4d401f", MIME: `video/mp4; codecs="avc1.4d401f"`, Width: 640, Height: 360},
		{Kind: media.Audio, Codec: media.AAC, Codecs: "mp4a.40.2", MIME: `audio/mp4; codecs="mp4a.40.2"`, SampleRate: 48000, Channels: 2},
	}
	if diff := cmp.Diff(want, infos); diff != "" {
		t.Errorf("tracks (-want +got):\n%s", diff)
	}
}
