package record_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/glob"
	"sluice/internal/record"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

// claim publishes a fixture, to the path that the tests use, as somebody who may come back.
func (s *server) claim(t *testing.T) *publisher {
	t.Helper()
	return s.claimFor(t, "h264_aac.flv", time.Minute)
}

// claimFor is claim, with the fixture and the time for which the stream is held.
func (s *server) claimFor(t *testing.T, name string, window time.Duration) *publisher {
	t.Helper()
	const path = "live/test"
	p := s.publish(t, path+"-other", name) // for its packets
	p.end()
	var err error
	if p.pub, err = s.streams.Claim(path, stream.Claim{Window: window}); err != nil {
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
	p := s.claim(t).until(2500 * time.Millisecond)
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
	s.claim(t).until(3 * time.Second)
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
	p := s.claim(t).until(2500 * time.Millisecond)
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

// unasked are the two ways in which a recording begins with its stream.
func unasked(t *testing.T) map[string]func(t *testing.T) *server {
	t.Helper()
	return map[string]func(t *testing.T) *server{
		"armed": func(t *testing.T) *server {
			t.Helper()
			s := newServer(t, t.TempDir())
			s.ask(t, http.MethodPost, "/flv/record/start/live/test?arm=true")
			return s
		},
		"automatic": func(t *testing.T) *server {
			t.Helper()
			return configured(t, func(c *record.Config) { c.Auto = []glob.Pattern{"live/test"} })
		},
	}
}

func TestARecordingThatNobodyStartedGoesOnWithItsPublisher(t *testing.T) {
	t.Parallel()
	for name, begin := range unasked(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t)
			p := s.claim(t).until(2500 * time.Millisecond)
			eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
			begun := s.status(t)
			p.lose()
			if f := s.status(t); f.State != record.Reconnecting || f.ID != begun.ID {
				t.Errorf("while the publisher is away: %+v", f)
			}
			s.claim(t).until(3 * time.Second)
			if f := s.status(t); f.State != record.Running || f.ID != begun.ID {
				t.Errorf("with the publisher: %+v", f)
			}
			ended := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
			if items := s.list(t, "").Items; len(items) != 1 || ended.ID != begun.ID || ended.State != record.Finished {
				t.Errorf("stop answers %+v; the list has %+v", ended, items)
			}
			plays(t, s.file(ended))
		})
	}
}

// begins are all ways in which a recording of the path that the tests use begins.
func begins(t *testing.T) map[string]func(t *testing.T) *server {
	t.Helper()
	all := unasked(t)
	all["asked for"] = func(t *testing.T) *server {
		t.Helper()
		return newServer(t, t.TempDir())
	}
	return all
}

func TestAPublisherThatIsBackWithOtherTracksIsRecordedInANewFile(t *testing.T) {
	t.Parallel()
	for name, begin := range begins(t) {
		for _, file := range []string{"h264_bframes_aac.flv", "h264_mp3.flv", "hevc_aac_enhanced.flv"} { // other configurations, other sound, other pictures
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				s := begin(t)
				lost := s.claim(t).until(500 * time.Millisecond)
				if name == "asked for" {
					s.ask(t, http.MethodPost, "/flv/record/start/live/test")
				}
				eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
				first := s.status(t)
				lost.until(2500 * time.Millisecond).lose()
				if f := s.status(t); f.State != record.Reconnecting || f.ID != first.ID {
					t.Errorf("while the publisher is away: %+v", f)
				}
				back := s.claimFor(t, file, time.Minute).until(500 * time.Millisecond)
				eventually(t, "the next one runs", func() bool {
					f := s.status(t)
					return f.State == record.Running && f.ID != first.ID
				})
				back.until(2500 * time.Millisecond)
				second := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
				items := s.list(t, "").Items
				if len(items) != 2 || items[0].ID != second.ID || items[1].ID != first.ID || second.File == first.File {
					t.Fatalf("stop answers %+v; the list has %+v", second, items)
				}
				for i, p := range []*publisher{back, lost} {
					if f := items[i]; f.State != record.Finished || f.Gaps > 0 {
						t.Errorf("the list has %+v", f)
					}
					whole := s.file(items[i])
					recorded(t, whole, fromKey(p.sent(0, p.next)))
					indexed(t, whole, packets(t, whole))
					if p == lost || !strings.Contains(file, "enhanced") { // which ffmpeg learnt with its release 6.1
						plays(t, whole)
					}
				}
			})
		}
	}
}

func TestAPublisherThatIsBackTooLateIsRecordedInANewFile(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) { c.Auto = []glob.Pattern{"live/test"} })
	p := s.claimFor(t, "h264_aac.flv", time.Millisecond).until(2500 * time.Millisecond)
	eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
	first := s.status(t)
	p.lose()
	eventually(t, "it ended", func() bool { return s.status(t).State == "idle" })
	s.claim(t).until(2500 * time.Millisecond)
	eventually(t, "the next one runs", func() bool { return s.status(t).State == record.Running })
	second := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	items := s.list(t, "").Items
	if len(items) != 2 || items[1].ID != first.ID || second.ID == first.ID || second.File == first.File {
		t.Fatalf("stop answers %+v; the list has %+v", second, items)
	}
	for _, f := range items {
		if f.State != record.Finished {
			t.Errorf("the list has %+v", f)
		}
		plays(t, s.file(f))
	}
}
