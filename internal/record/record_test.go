package record_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/flvtest"
	"sluice/internal/record"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

// recorded checks that a file holds what was published from the packet at
// begin on: the same bodies and the same distances in time.
func recorded(t *testing.T, file string, published []media.Packet) {
	t.Helper()
	type tag struct {
		Kind media.Kind
		DTS  time.Duration
		Body []byte
	}
	var got, want []tag
	for _, p := range packets(t, file) {
		if p.Kind != media.Data && p.Type == media.Frame {
			got = append(got, tag{p.Kind, p.DTS, p.Body})
		}
	}
	for _, p := range published {
		want = append(want, tag{p.Kind, p.DTS - published[0].DTS, p.Body})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the file has other packets (-want +got):\n%.2000s", diff)
	}
}

// frames returns the packets of a fixture from the key frame at or before that
// time on, or else from the first one, without configurations.
func frames(t *testing.T, name string, from time.Duration) []media.Packet {
	t.Helper()
	var out []media.Packet
	begun := false
	for _, p := range flvtest.Packets(t, name) {
		if p.Type != media.Frame || p.Kind == media.Data {
			continue
		}
		if p.Key && (!begun || p.DTS <= from) {
			out, begun = out[:0], true
		}
		out = append(out, p)
	}
	return out
}

func TestARecordingBeginsAtTheNewestKeyFrameAndEndsWithItsStop(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_aac.flv").until(2500 * time.Millisecond)

	begun := s.ask(t, http.MethodPost, "/flv/record/start/live/test.flv")
	if begun.State != record.Running || begun.StreamPath != "live/test" || begun.EndedAt != nil ||
		!regexp.MustCompile(`^live/test/\d{8}T\d{6}\.\d{3}Z\.flv$`).MatchString(begun.File) {
		t.Errorf("start answered %+v", begun)
	}
	if again := s.ask(t, http.MethodPost, "/flv/record/start/live/test"); again.ID != begun.ID {
		t.Errorf("a second start answered %+v, want the recording %s", again, begun.ID)
	}
	if now := s.ask(t, http.MethodGet, "/flv/record/status/live/test"); now.ID != begun.ID || now.State != record.Running {
		t.Errorf("status answered %+v", now)
	}
	p.until(3900 * time.Millisecond)
	ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	info, err := os.Stat(s.file(ended))
	if err != nil {
		t.Fatal(err)
	}
	if ended.State != record.Finished || ended.ID != begun.ID || ended.EndedAt == nil || ended.EndedAt.Before(ended.StartedAt) ||
		ended.Error != "" || ended.Bytes != info.Size() {
		t.Errorf("stop answered %+v for %d bytes", ended, info.Size())
	}
	want := frames(t, "h264_aac.flv", 2499*time.Millisecond)
	for i, p := range want {
		if p.DTS >= 3900*time.Millisecond {
			want = want[:i]
			break
		}
	}
	recorded(t, s.file(ended), want)
	if d := want[len(want)-1].DTS - want[0].DTS; ended.DurationMs < d.Milliseconds() || ended.DurationMs > d.Milliseconds()+41 {
		t.Errorf("duration %d ms, want %v and a frame", ended.DurationMs, d)
	}
	plays(t, s.file(ended))
	refused(t, s.call(http.MethodPost, "/flv/record/stop/live/test"), http.StatusNotFound, "not being recorded")
	if w := s.call(http.MethodGet, "/flv/record/status/live/test"); strings.TrimSpace(w.Body.String()) != `{"streamPath":"live/test","state":"idle"}` {
		t.Errorf("status answered %s", w.Body)
	}
	if diff := cmp.Diff([]record.Facts{ended}, s.list(t, "").Items, cmp.AllowUnexported(record.Facts{})); diff != "" {
		t.Errorf("the list has other facts (-want +got):\n%s", diff)
	}
}

func TestTheAnswerHasExactlyTheKeysOfTheDesign(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	w := s.call(http.MethodPost, "/flv/record/start/live/test")
	facts := decode[map[string]any](t, w)
	var keys []string
	for _, k := range []string{"id", "streamPath", "state", "file", "startedAt", "endedAt", "durationMs", "bytes", "error"} {
		if _, ok := facts[k]; ok {
			keys = append(keys, k)
		}
	}
	if len(keys) != 9 || len(facts) != 9 {
		t.Errorf("start answered %v", facts)
	}
	if at, _ := facts["startedAt"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("startedAt is %q, want UTC", at)
	}
}

func TestARecordingEndsWithItsStream(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_bframes_aac.flv", "h264_only.flv", "aac_only.flv", "h264_alaw8k.flv", "h264_mulaw8k.flv", "h264_mp3.flv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, t.TempDir())
			p := s.publish(t, "a/b/c", name).until(500 * time.Millisecond)
			if strings.Contains(name, "only") { // these wait for the other track
				eventually(t, "the stream is live", func() bool { return s.streams.Find("a/b/c") != nil })
			}
			begun := s.ask(t, http.MethodPost, "/flv/record/start/a/b/c")
			p.until(p.period)
			p.end()
			eventually(t, "the recording is over", func() bool { return s.list(t, "").Items[0].State == record.Finished })
			recorded(t, s.file(begun), frames(t, name, 0))
			plays(t, s.file(begun))
			s.logs(t, `"proto":"file"`)
			s.logs(t, `"reason":"unpublished"`)
		})
	}
}

func TestTheNextStreamUnderThePathIsANewRecording(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	first := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.end()
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusNotFound, "nobody publishes")
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	second := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	if second.ID == first.ID || second.File == first.File {
		t.Errorf("the new stream is recorded as %+v again", second)
	}
}

func TestAShutdownFinishesAllRecordings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	var begun []record.Facts
	for _, path := range []string{"a", "b", "c"} {
		s.publish(t, path, "h264_aac.flv").until(3 * time.Second)
		begun = append(begun, s.ask(t, http.MethodPost, "/flv/record/start/"+path))
	}
	s.stop()
	if n := s.sessions.Count(session.Recording, ""); n != 0 {
		t.Errorf("%d recordings are left in the list of sessions", n)
	}
	refused(t, s.call(http.MethodPost, "/flv/record/start/a"), http.StatusServiceUnavailable, "shuts down")
	for _, f := range begun {
		plays(t, s.file(f))
	}
	after := newServer(t, dir)
	if items := after.list(t, "?state=finished").Items; len(items) != len(begun) {
		t.Errorf("after the restart the list has %+v", items)
	}
	s.logs(t, `"reason":"shutdown"`)
}

func TestAnOperatorCanKickARecording(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	all := s.sessions.All()
	if len(all) != 1 || all[0].Info().Role != session.Recording || all[0].Info().Proto != "file" {
		t.Fatalf("the list of sessions has %d entries", len(all))
	}
	if err := s.sessions.Kick(all[0].Info().ID, session.ErrKicked); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the recording is over", func() bool { return s.list(t, "").Items[0].State == record.Finished })
	s.logs(t, `"reason":"kicked"`)
}

func TestStartsAtTheSameTimeAreOneRecording(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	ids := make([]string, 50)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() { ids[i] = s.ask(t, http.MethodPost, "/flv/record/start/live/test").ID })
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two recordings, %s and %s", ids[0], id)
		}
	}
	if items := s.list(t, "").Items; len(items) != 1 {
		t.Errorf("the list has %+v", items)
	}
}

func TestStartAndStopFromManyLoseNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	paths := []string{"a", "b", "c"}
	for _, path := range paths {
		s.publish(t, path, "h264_aac.flv").until(2 * time.Second)
	}
	var all sync.WaitGroup
	for i := range 30 {
		path := paths[i%len(paths)]
		all.Go(func() {
			for range 5 {
				if w := s.call(http.MethodPost, "/flv/record/start/"+path); w.Code != http.StatusOK {
					t.Errorf("start: %d %s", w.Code, w.Body)
				}
				if w := s.call(http.MethodPost, "/flv/record/stop/"+path); w.Code != http.StatusOK && w.Code != http.StatusNotFound {
					t.Errorf("stop: %d %s", w.Code, w.Body)
				}
			}
		})
	}
	all.Wait()
	items := s.list(t, "?limit=1000").Items
	files := map[string]bool{}
	for _, f := range items {
		files[f.File] = true
		if f.State != record.Finished {
			t.Errorf("left behind: %+v", f)
		}
		if _, err := os.Stat(s.file(f)); err != nil {
			t.Error(err)
		}
	}
	if len(files) != len(items) || len(items) < len(paths) {
		t.Errorf("%d recordings have %d files", len(items), len(files))
	}
}

func TestTheStreamMayEndDuringTheStop(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for range 20 {
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		begun := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
		var both sync.WaitGroup
		both.Go(p.end)
		both.Go(func() {
			switch w := s.call(http.MethodPost, "/flv/record/stop/live/test"); w.Code {
			case http.StatusNotFound: // the end of the stream was first
			default:
				if f := decode[record.Facts](t, w); f.ID != begun.ID || f.State != record.Finished {
					t.Errorf("stop answered %+v", f)
				}
			}
		})
		both.Wait()
		eventually(t, "the recording is over", func() bool { return s.list(t, "").Items[0].State == record.Finished })
	}
}

func TestMediaIsInTheFileWithinASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
		for at := 2 * time.Second; at < 10*time.Second; at += time.Second {
			p.until(at)
			<-time.After(time.Second)
			synctest.Wait()
			all := packets(t, s.file(f)) // it ends with a whole tag
			if last := all[len(all)-1].DTS; last < at-50*time.Millisecond {
				t.Errorf("at %v the file ends at %v", at, last)
			}
			now := s.ask(t, http.MethodGet, "/flv/record/status/live/test")
			if got := time.Duration(now.DurationMs) * time.Millisecond; got < at-50*time.Millisecond || got > at {
				t.Errorf("at %v the status says %v", at, got)
			}
		}
		p.end()
		s.stop()
	})
}

func TestWithoutAKeyFrameTheRecordingWaitsForTheNext(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	limits := stream.DefaultLimits()
	limits.WindowPackets = 10 // so that the window is given up within a GOP
	*s.streams = *stream.NewRegistry(limits)
	p := s.publish(t, "live/test", "h264_aac.flv").until(1500 * time.Millisecond)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(3900 * time.Millisecond)
	ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	want := frames(t, "h264_aac.flv", 2100*time.Millisecond)
	for i, p := range want {
		if p.DTS >= 3900*time.Millisecond {
			want = want[:i]
			break
		}
	}
	recorded(t, s.file(ended), want)
}

func TestSoundThatLiesBeforeThePictureKeepsItsTime(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	pub, err := s.streams.Publish("live/test")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.End(nil)
	write := func(p media.Packet, at time.Duration) {
		p.DTS = at
		if err := pub.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	var sound, picture []media.Packet
	for _, p := range flvtest.Packets(t, "h264_aac.flv") {
		switch {
		case p.Type == media.Config:
			write(p, 0)
		case p.Kind == media.Audio:
			sound = append(sound, p)
		case p.Kind == media.Video && p.Type == media.Frame:
			picture = append(picture, p)
		}
	}
	const ms = time.Millisecond
	write(picture[0], 300*ms)
	write(sound[0], 200*ms)
	write(picture[1], 340*ms)
	write(sound[1], 223*ms)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	recorded(t, s.file(ended), []media.Packet{
		{Kind: media.Audio, DTS: 200 * ms, Body: sound[0].Body},
		{Kind: media.Audio, DTS: 223 * ms, Body: sound[1].Body},
		{Kind: media.Video, DTS: 300 * ms, Body: picture[0].Body},
		{Kind: media.Video, DTS: 340 * ms, Body: picture[1].Body},
	})
}

func TestARecordingEndsCleanlyBeforeItsClockDoes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := newServer(t, dir)
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		s.ask(t, http.MethodPost, "/flv/record/start/live/test")
		const day = 24 * time.Hour
		for _, at := range []time.Duration{20 * day, 25 * day} {
			<-time.After(at - time.Since(begin))
			for _, pkt := range p.packets[p.next : p.next+20] {
				pkt.DTS += at
				if err := p.pub.Write(pkt); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-time.After(time.Second)
		synctest.Wait()
		items := s.list(t, "").Items
		f := items[len(items)-1]
		if len(items) != 2 || items[0].State != record.Running || f.State != record.Finished || !strings.Contains(s.log.String(), `"reason":"timeline_full"`) {
			t.Errorf("the list says %+v, the log\n%s", f, s.log)
		}
		plays(t, s.file(f))
		p.end()
		s.stop()
	})
}
