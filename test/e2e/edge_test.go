package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

func TestAJoinAtTheEdgeSendsTheWholeGOPInOrderAndThenWhatIsLive(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, file := range []string{"h264_bframes_aac.flv", "hevc_aac_enhanced.flv"} {
		for _, scheme := range []string{"http", "ws"} {
			for _, profile := range []string{"raw", "web"} {
				// The last GOP of the files begins with picture 76, and every
				// fourth one is shown later than the three that follow.
				for _, joined := range []int{76, 77, 78, 79, 80, 88, 99} {
					name := fmt.Sprintf("%s-%s-%s-%d", file, scheme, profile, joined)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						joinAt(t, s, file, scheme, "live/"+name, profile, joined)
					})
				}
			}
		}
	}
}

// joinAt publishes so many pictures of a file, joins at the edge, publishes
// what is left, and compares that with what came by true time.
func joinAt(t *testing.T, s *harness.Server, file, scheme, path, profile string, joined int) {
	t.Helper()
	_, tags := harness.Tags(t, flvtest.Path(t, file))
	cut := behindPicture(tags, joined)
	encoder := harness.Connect(t, s.Push(path))
	encoder.Send(t, tags[:cut]...)
	play := s.Play(scheme, path+"?wait=30s&profile="+profile)
	witness := harness.Watch(t, play+"&join=gop")
	last := flv.ParseBody(tags[cut-1].Type, tags[cut-1].Body)
	whole := frames(t, witness, func(p media.Packet) bool { return same(p, last) })

	v := harness.Watch(t, play+"&join=edge")
	if got := v.Answer.Header.Get("Sluice-Join"); got != "edge" {
		t.Fatalf("the answer says that it joined at %q", got)
	}
	encoder.Send(t, tags[cut:]...)
	encoder.Finish(t)
	whole = append(whole, frames(t, witness, nil)...)
	got := frames(t, v, nil)

	checkPictures(t, pick(got, media.Video), newest(pick(whole, media.Video)), joined-75)
	var sound []media.Packet
	for _, tag := range tags[cut:] {
		if p := flv.ParseBody(tag.Type, tag.Body); p.Kind == media.Audio && p.Type == media.Frame {
			sound = append(sound, p)
		}
	}
	if got := pick(got, media.Audio); !slices.EqualFunc(got, sound, same) {
		t.Errorf("%d frames of sound came, want the %d since the join", len(got), len(sound))
	}
}

// behindPicture returns how many tags hold that many pictures.
func behindPicture(tags []flv.Tag, pictures int) int {
	for i, tag := range tags {
		if p := flv.ParseBody(tag.Type, tag.Body); p.Kind == media.Video && p.Type == media.Frame {
			pictures--
		}
		if pictures == 0 {
			return i + 1
		}
	}
	return len(tags)
}

// frames reads frames up to the one that is asked for, or until the end.
func frames(t *testing.T, v *harness.Viewer, last func(p media.Packet) bool) []media.Packet {
	t.Helper()
	var out []media.Packet
	for {
		tag, err := v.Next()
		if last == nil && errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("behind %d frames: %v", len(out), err)
		}
		p := flv.ParseBody(tag.Type, tag.Body)
		p.DTS = tag.DTS
		if p.Type != media.Frame || p.Kind == media.Data {
			continue
		}
		out = append(out, p)
		if last != nil && last(p) {
			return out
		}
	}
}

func pick(packets []media.Packet, kind media.Kind) []media.Packet {
	return slices.DeleteFunc(slices.Clone(packets), func(p media.Packet) bool { return p.Kind != kind })
}

func same(a, b media.Packet) bool { return a.Codec == b.Codec && bytes.Equal(a.Bytes(), b.Bytes()) }

// newest returns the pictures from the last key frame on.
func newest(pictures []media.Packet) []media.Packet {
	for i, p := range slices.Backward(pictures) {
		if p.Key {
			return pictures[i:]
		}
	}
	return nil
}

// checkPictures compares the pictures of a viewer at the edge with those of one
// that got true times: the first n were there when it joined.
func checkPictures(t *testing.T, got, want []media.Packet, n int) {
	t.Helper()
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("%d pictures came, not the %d of the GOP and behind", len(got), len(want))
	}
	checkTimes(t, got)
	if lead := want[n-1].DTS - got[0].DTS; lead > time.Duration(2*n)*time.Millisecond {
		t.Errorf("%d pictures begin %v before the edge", n, lead)
	}
	for i := n; i < len(got); i++ {
		if got[i].DTS != want[i].DTS || got[i].CTS != want[i].CTS {
			t.Errorf("live picture %d is at %v %+v, want %v %+v", i, got[i].DTS, got[i].CTS, want[i].DTS, want[i].CTS)
		}
	}
	if got, want := shown(got), shown(want); !slices.Equal(got, want) {
		t.Errorf("the pictures are shown in the order\n%v, want\n%v", got, want)
	}
}

// checkTimes looks for what decoders cannot do.
func checkTimes(t *testing.T, pictures []media.Packet) {
	t.Helper()
	at := map[time.Duration]int{}
	for i, p := range pictures {
		if i > 0 && p.DTS <= pictures[i-1].DTS {
			t.Errorf("picture %d is decoded at %v, the one before at %v", i, p.DTS, pictures[i-1].DTS)
		}
		if p.CTS < 0 {
			t.Errorf("picture %d is shown %v before it is decoded", i, -p.CTS)
		}
		if other, ok := at[p.DTS+p.CTS]; ok {
			t.Errorf("the pictures %d and %d are shown at once", other, i)
		}
		at[p.DTS+p.CTS] = i
	}
}

// shown returns the numbers of pictures in the order in which they are shown.
func shown(pictures []media.Packet) []int {
	order := make([]int, len(pictures))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(pictures[a].DTS + pictures[a].CTS - pictures[b].DTS - pictures[b].CTS)
	})
	return order
}

func TestFFmpegReadsAJoinAtTheEdgeWithoutComplaint(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	harness.Publish(t, harness.LongGOP(), s.Push("live/test"))
	for _, profile := range []string{"raw", "web"} {
		for _, scheme := range []string{"http", "ws"} {
			t.Run(profile+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				url := s.Play(scheme, "live/test.flv?wait=30s&profile="+profile)
				harness.Watch(t, url+"&join=gop").Into(t, 2*time.Second)
				url += "&join=edge"
				if scheme == "ws" { // which ffmpeg does not speak
					url = save(t, harness.Watch(t, url))
				}
				dir := t.TempDir()
				said := harness.Output(t, nil, "ffmpeg", "-nostdin", "-v", "warning", "-xerror", "-i", url,
					"-t", "5", "-c", "copy", "-f", "null", "-",
					"-t", "5", "-c", "copy", "-f", "mpegts", filepath.Join(dir, "copy.ts"),
					"-t", "5", "-enc_time_base", "-1", "-f", "null", "-") // decoded, with a clock that tells the pictures apart
				if said != "" {
					t.Errorf("ffmpeg complains:\n%s", said)
				}
			})
		}
	}
}

// save keeps what a viewer gets until five seconds have come, and returns the
// file.
func save(t *testing.T, v *harness.Viewer) string {
	t.Helper()
	if got := v.Answer.Header.Get("Sluice-Join"); got != "edge" {
		t.Errorf("the answer says that it joined at %q", got)
	}
	h, err := v.Header()
	if err != nil {
		t.Fatal(err)
	}
	b := flv.AppendHeader(nil, h.Audio, h.Video)
	for first := time.Duration(-1); ; {
		tag, err := v.Next()
		if err == nil {
			b, err = flv.AppendTag(b, tag.Type, tag.DTS, tag.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		if first < 0 && tag.Type == flv.TagVideo {
			first = tag.DTS
		}
		if first >= 0 && tag.DTS > first+5*time.Second {
			break
		}
	}
	file := filepath.Join(t.TempDir(), "edge.flv")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
