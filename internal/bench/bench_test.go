package bench_test

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/auth"
	"sluice/internal/bench"
	"sluice/internal/httpd"
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a whole server and returns where it takes and gives streams.
func serve(t *testing.T) (rtmp, http string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := module.Deps{
		Log: log, Streams: stream.NewRegistry(stream.DefaultLimits()), Sessions: session.NewList(log),
		HTTP: httpd.NewMux(log, auth.NewGuard("")), Facts: &module.Facts{},
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := rtmpd.New(rtmpd.DefaultConfig(), d, ln)
	out := httpflv.New(httpflv.DefaultConfig(), d)
	d.HTTP.Handle(auth.Play, "/flv/", out)
	web := httptest.NewServer(d.HTTP)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 2)
	go func() { done <- in.Run(ctx) }()
	go func() { done <- out.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		web.Close()
	})
	return "rtmp://" + ln.Addr().String() + "/live/b", web.URL + "/flv/live/b"
}

// publish publishes until the test ends.
func publish(t *testing.T, o bench.PublishOptions) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r, err := bench.Publish(ctx, o, func() { close(ready) })
		if err != nil || r.Packets == 0 {
			t.Errorf("Publish() = %+v, %v", r, err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("publishing does not begin")
	}
}

func TestFramesAreTimedFromThePublisherToTheViewer(t *testing.T) {
	rtmp, http := serve(t)
	publish(t, bench.PublishOptions{URL: rtmp, Streams: 2, BitRate: 600_000, FPS: 30, GOP: time.Second, Audio: 43})
	for _, url := range []string{http, strings.Replace(http, "http", "ws", 1)} {
		r, err := bench.Latency(t.Context(), bench.LatencyOptions{
			URL: url + "?wait=10s", Streams: 2, Probes: 4, Starts: 3, Warmup: 2 * time.Second, Duration: 2 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		// 4 probes get 73 frames a second for two seconds.
		if r.Failed > 0 || r.Added.Count < 300 || r.Added.Count > 800 || r.First.Count == 0 {
			t.Errorf("%+v", r)
		}
		if r.Added.P50 <= 0 || r.Added.P50 > r.Added.P99 || r.Added.P99 > r.Added.Max || r.Added.Max > 10*time.Second || r.Gap <= 0 {
			t.Errorf("frames were added %+v, with a gap of %v", r.Added, r.Gap)
		}
	}
}

func TestWhatIsNoBenchStreamIsSaidSo(t *testing.T) {
	_, http := serve(t)
	_, err := bench.Latency(t.Context(), bench.LatencyOptions{URL: http + "?wait=0s", Probes: 1, Duration: time.Second})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Latency() error = %v", err)
	}
}

func TestAFailedPublishNamesItsStream(t *testing.T) {
	rtmp, _ := serve(t)
	_, err := bench.Publish(t.Context(), bench.PublishOptions{
		URL: rtmp + "/record/..", Streams: 1, BitRate: 500_000, FPS: 25, GOP: time.Second, Duration: 5 * time.Second,
	}, func() {})
	if err == nil || !strings.Contains(err.Error(), "stream 0") {
		t.Errorf("Publish() error = %v", err)
	}
}

func TestStreamURLsAreNumbered(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		n, of   int
		want    string
	}{
		{"rtmp://h/live/b", 0, 1, "rtmp://h/live/b"},
		{"rtmp://h/live/b", 7, 9, "rtmp://h/live/b7"},
		{"http://h/flv/live/b.flv?join=gop", 7, 9, "http://h/flv/live/b7.flv?join=gop"},
		{"http://h/{n}/x", 7, 9, "http://h/7/x"},
		{"http://h/{n}/x", 0, 1, "http://h/0/x"},
	} {
		if got := bench.StreamURL(tc.pattern, tc.n, tc.of); got != tc.want {
			t.Errorf("StreamURL(%q, %d, %d) = %q, want %q", tc.pattern, tc.n, tc.of, got, tc.want)
		}
	}
}
