package record_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

// claim publishes a fixture as somebody who may come back.
func (s *server) claim(t *testing.T, path, name string) *publisher {
	t.Helper()
	p := s.publish(t, path+"-other", name) // for its packets
	p.end()
	var err error
	if p.pub, err = s.streams.Claim(path, stream.Claim{Window: time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.pub.End(stream.ErrUnpublished) })
	return p
}

func (p *publisher) lose() {
	p.t.Helper()
	if !p.pub.Lose(session.ErrPeerGone) {
		p.t.Fatal("the stream is not held")
	}
}

func TestARecordingGoesOnWithItsPublisherWithoutAHole(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.claim(t, "live/test", "h264_aac.flv").until(2500 * time.Millisecond)
	begun := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.lose()
	for _, call := range [][2]string{{http.MethodGet, "status"}, {http.MethodPost, "start"}} {
		if f := s.ask(t, call[0], "/flv/record/"+call[1]+"/live/test"); f.State != record.Reconnecting || f.ID != begun.ID {
			t.Errorf("%s answers %+v", call[1], f)
		}
	}
	for query, want := range map[string]int{"?state=reconnecting": 1, "?state=recording": 0, "": 1} {
		if items := s.list(t, query).Items; len(items) != want || want > 0 && items[0].State != record.Reconnecting {
			t.Errorf("list%s has %+v", query, items)
		}
	}
	s.claim(t, "live/test", "h264_aac.flv").until(3 * time.Second)
	if f := s.ask(t, http.MethodGet, "/flv/record/status/live/test"); f.State != record.Running {
		t.Errorf("status answers %+v", f)
	}
	ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	if ended.State != record.Finished || ended.ID != begun.ID {
		t.Errorf("stop answers %+v", ended)
	}
	last := map[media.Kind]time.Duration{}
	configs := 0
	for _, p := range packets(t, s.file(ended)) {
		if p.Type == media.Config {
			configs++
		}
		if p.Type != media.Frame || p.Kind == media.Data {
			continue
		}
		if at, ok := last[p.Kind]; ok && (p.DTS <= at || p.DTS-at > 80*time.Millisecond) {
			t.Errorf("%v at %v behind %v", p.Kind, p.DTS, at)
		}
		last[p.Kind] = p.DTS
	}
	if configs != 2 {
		t.Errorf("%d configurations, want 2", configs)
	}
	// From the key frame at 2 s to where it was lost, and three seconds more.
	if d := last[media.Video]; d < 3400*time.Millisecond || d > 3600*time.Millisecond {
		t.Errorf("the picture ends at %v", d)
	}
	plays(t, s.file(ended))
}

func TestARecordingThatWaitsForItsPublisherCanBeStopped(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.claim(t, "live/test", "h264_aac.flv").until(2500 * time.Millisecond)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.lose()
	ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	if ended.State != record.Finished || ended.Error != "" {
		t.Errorf("stop answers %+v", ended)
	}
	plays(t, s.file(ended))
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusNotFound, "nobody publishes")
	if items := s.list(t, "").Items; slices.ContainsFunc(items, func(f record.Facts) bool { return f.State != record.Finished }) {
		t.Errorf("list has %+v", items)
	}
}
