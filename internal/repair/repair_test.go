package repair_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/filelock"
	"sluice/internal/flvtest"
	"sluice/internal/repair"
	"sluice/media"
)

// write makes a file of its own folder.
func write(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.flv")
	if err := os.WriteFile(name, b, 0o640); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames are the bodies of all tags of audio and video.
func frames(b []byte) (all [][]byte, last time.Duration) {
	r := flv.NewReader(bytes.NewReader(b))
	for {
		tag, err := r.Next()
		if err != nil {
			return all, last
		}
		if tag.Type != flv.TagScript {
			all, last = append(all, tag.Body), max(last, tag.DTS)
		}
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// sound checks that a file plays, is as long as it should be, and can be
// sought in by a true index.
func sound(t *testing.T, name string, length time.Duration) {
	t.Helper()
	if out := run(t, "ffmpeg", "-v", "error", "-xerror", "-i", name, "-f", "null", "-"); out != "" {
		t.Errorf("ffmpeg says:\n%s", out)
	}
	says := run(t, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", name)
	if d, err := strconv.ParseFloat(says, 64); err != nil || (time.Duration(d*1e9)-length).Abs() > 100*time.Millisecond {
		t.Errorf("ffprobe says %s s, want %v", says, length)
	}
	b := read(t, name)
	index, err := flv.ReadIndex(bytes.NewReader(b))
	if err != nil || len(index) < 2 {
		t.Fatalf("ReadIndex() = %v, %v", index, err)
	}
	for _, k := range index[1:] {
		h, n, err := flv.ParseTagHeader(b[k.Offset:])
		if err != nil || h.DTS != k.DTS {
			t.Fatalf("an entry says %v, there is %+v, %v", k.DTS, h, err)
		}
		if p := flv.ParseBody(h.Type, b[int(k.Offset)+n:][:h.BodyLen]); p.Kind == media.Video && !p.Key {
			t.Errorf("an entry at %v points at no key frame", k.DTS)
		}
	}
}

// recording is what the server leaves of a file when it is killed in the
// middle of a tag.
func recording(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "killed.flv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tags := flv.NewReader(bytes.NewReader(flvtest.Bytes(t, name)))
	var tracks []media.Track
	var w *flv.FileWriter
	for {
		tag, err := tags.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p := flv.ParseBody(tag.Type, tag.Body)
		p.DTS = tag.DTS
		if p.Type == media.Config {
			tracks = append(tracks, media.Track{Kind: p.Kind, Codec: p.Codec, Config: &p})
			continue
		}
		if p.Kind == media.Data {
			continue
		}
		if w == nil {
			if w, err = flv.NewFileWriter(f, flv.FileOptions{Tracks: tracks}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	return read(t, f.Name())
}

func TestCase100AKilledRecordingIsRepaired(t *testing.T) {
	t.Parallel()
	for _, missing := range []int{0, 1, 5, 17, 3000} {
		whole := recording(t, "h264_aac.flv")
		cut := whole[:len(whole)-missing]
		name := write(t, cut)
		r, err := repair.File(t.Context(), name, repair.Options{})
		if err != nil || r.Action != repair.Finished || r.Cut < 0 || r.Size != int64(len(cut))-r.Cut {
			t.Fatalf("without the last %d bytes: %+v, %v", missing, r, err)
		}
		got, last := frames(read(t, name))
		want, _ := frames(cut)
		if missing > 0 && missing <= 4 {
			want = want[:len(want)-1] // what follows the body was cut
		}
		if len(got) != len(want) || (last-r.Duration).Abs() > 100*time.Millisecond {
			t.Errorf("without the last %d bytes: %d frames of %d are left, the last at %v of %v", missing, len(got), len(want), last, r.Duration)
		}
		sound(t, name, r.Duration)
		if r, err := repair.File(t.Context(), name, repair.Options{}); err != nil || r.Action != repair.Nothing {
			t.Errorf("once more: %+v, %v", r, err)
		}
	}
}

func TestAFileOfAnotherServerIsWrittenAnew(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_bframes_aac.flv", "h264_only.flv", "aac_only.flv", "h264_mp3.flv"} {
		for change, f := range map[string]func([]byte) []byte{
			"whole":       func(b []byte) []byte { return b },
			"cut":         func(b []byte) []byte { return b[:len(b)-300] },
			"zeros":       func(b []byte) []byte { return append(b, make([]byte, 70_000)...) },
			"wrong sizes": wrongSizes,
			"longer header": func(b []byte) []byte {
				return append(append(bytes.Clone(b[:8]), 12, 1, 2, 3), b[9:]...)
			},
		} {
			if change != "whole" && name != "h264_aac.flv" {
				continue
			}
			t.Run(name+" "+change, func(t *testing.T) {
				t.Parallel()
				b := f(bytes.Clone(flvtest.Bytes(t, name)))
				file := write(t, b)
				r, err := repair.File(t.Context(), file, repair.Options{})
				if err != nil || r.Action != repair.Rebuilt {
					t.Fatalf("File() = %+v, %v", r, err)
				}
				want, _ := frames(b)
				got, _ := frames(read(t, file))
				if len(got) != len(want) {
					t.Fatalf("%d frames are left of %d", len(got), len(want))
				}
				for i := range got {
					if !bytes.Equal(got[i], want[i]) {
						t.Fatalf("frame %d is another one", i)
					}
				}
				sound(t, file, r.Duration)
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 || info.Size() != r.Size {
					t.Errorf("the file is %v, %v", info, err)
				}
				alone(t, file)
				if r, err := repair.File(t.Context(), file, repair.Options{}); err != nil || r.Action != repair.Nothing {
					t.Errorf("once more: %+v, %v", r, err)
				}
			})
		}
	}
}

// wrongSizes makes every PreviousTagSize that of the body alone.
func wrongSizes(b []byte) []byte {
	for at := flv.HeaderLen; at < len(b); {
		h, n, err := flv.ParseTagHeader(b[at:])
		if err != nil {
			return b
		}
		at += n + int(h.BodyLen)
		binary.BigEndian.PutUint32(b[at:], h.BodyLen)
		at += 4
	}
	return b
}

// alone checks that nothing lies beside a file.
func alone(t *testing.T, file string) {
	t.Helper()
	if all, err := os.ReadDir(filepath.Dir(file)); err != nil || len(all) != 1 {
		t.Errorf("beside the file lie %v, %v", all, err)
	}
}

func TestWhatIsNotRepairedStaysAsItWas(t *testing.T) {
	t.Parallel()
	damaged := bytes.Clone(flvtest.Bytes(t, "h264_aac.flv"))
	copy(damaged[len(damaged)/2:], bytes.Repeat([]byte{0xff}, 20_000))
	ended, end := context.WithCancel(t.Context())
	end()
	for name, tc := range map[string]struct {
		content []byte
		ctx     context.Context //nolint:containedctx // of the one call
		want    error
	}{
		"damaged":   {damaged, t.Context(), repair.ErrDamaged},
		"a page":    {[]byte("<html><body>it is not here</body></html>"), t.Context(), flv.ErrHeader},
		"nothing":   {nil, t.Context(), flv.ErrShort},
		"a header":  {flv.AppendHeader(nil, true, true), t.Context(), repair.ErrEmpty},
		"given up":  {flvtest.Bytes(t, "h264_aac.flv"), ended, context.Canceled},
		"no header": {[]byte("FLV"), t.Context(), flv.ErrShort},
	} {
		file := write(t, tc.content)
		if r, err := repair.File(tc.ctx, file, repair.Options{}); !errors.Is(err, tc.want) {
			t.Errorf("%s: File() = %+v, %v, want %v", name, r, err, tc.want)
		}
		if !bytes.Equal(read(t, file), tc.content) {
			t.Errorf("%s: the file is another one", name)
		}
		alone(t, file)
	}
	file := write(t, damaged)
	if r, err := repair.File(t.Context(), file, repair.Options{Cut: true}); err != nil || r.Action != repair.Rebuilt || r.Cut < 20_000 {
		t.Errorf("with Cut: %+v, %v", r, err)
	}
}

func TestAFileThatIsBeingWrittenIsRefused(t *testing.T) {
	t.Parallel()
	content := flvtest.Bytes(t, "h264_aac.flv")
	name := write(t, content)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := filelock.Lock(f); err != nil {
		t.Skip("no locks here:", err)
	}
	if r, err := repair.File(t.Context(), name, repair.Options{}); !errors.Is(err, repair.ErrInUse) {
		t.Errorf("File() = %+v, %v, want ErrInUse", r, err)
	}
	filelock.Unlock(f)
	f.Close()
	if _, err := repair.File(t.Context(), name, repair.Options{}); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// Other programs know nothing of our locks, and may pause between two writes:
// the new file would take the place of the one that they go on with.
func TestAFileThatAnotherProgramHasOpenForWritingIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("nobody can tell here")
	}
	content := flvtest.Bytes(t, "h264_aac.flv")
	name := write(t, content)
	reader, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := repair.File(t.Context(), name, repair.Options{}); !errors.Is(err, repair.ErrInUse) || !bytes.Equal(read(t, name), content) {
		t.Errorf("File() = %+v, %v, want ErrInUse", r, err)
	}
	f.Close()
	if r, err := repair.File(t.Context(), name, repair.Options{}); err != nil || r.Action != repair.Rebuilt {
		t.Errorf("when only somebody reads: %+v, %v", r, err)
	}
}
