package bench_test

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/bench"
)

func TestViewersCountWhatTheyGet(t *testing.T) {
	rtmp, http := serve(t)
	publish(t, bench.PublishOptions{URL: rtmp, Streams: 1, BitRate: 800_000, FPS: 30, GOP: time.Second, Audio: 43})
	for _, url := range []string{http, strings.Replace(http, "http", "ws", 1), rtmp} {
		r, err := bench.Play(t.Context(), bench.PlayOptions{
			URL: url + "?wait=10s", Viewers: 20, Warmup: 2 * time.Second, Duration: 2 * time.Second,
			PID: os.Getpid(), Base: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Viewers != 20 || r.Dropped != 0 || r.Starved != 0 || r.CPUPerGB <= 0 || r.PerViewer <= 0 {
			t.Errorf("%+v", r)
		}
		if r.RateP50 < 600_000 || r.RateP50 > 1_000_000 || r.RateMin > r.RateP50 || r.RateMax < r.RateP50 {
			t.Errorf("%+v, want about 800 kbit/s", r)
		}
	}
}

func TestViewersThatAreRefusedAreAnError(t *testing.T) {
	rtmp, http := serve(t)
	for url, want := range map[string]string{http: "404", rtmp: "StreamNotFound"} {
		r, err := bench.Play(t.Context(), bench.PlayOptions{URL: url + "?wait=0s", Viewers: 3, Duration: 100 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Play() = %+v, %v", url, r, err)
		}
	}
}

func TestTheFloorSendsWhatItShall(t *testing.T) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	addr, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- bench.Floor(ctx, bench.FloorOptions{Listen: "127.0.0.1:0", Viewers: 5, BitRate: 1_000_000, Gap: 10 * time.Millisecond},
			func(a net.Addr) { addr <- a })
	}()
	r, err := bench.Play(t.Context(), bench.PlayOptions{
		URL: "http://" + (<-addr).String() + "/", Viewers: 5, Warmup: time.Second, Duration: 2 * time.Second,
	})
	if err != nil || r.RateP50 < 700_000 || r.RateP50 > 1_100_000 {
		t.Errorf("Play() = %+v, %v; want about 1 Mbit/s", r, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Floor() = %v", err)
	}
}
