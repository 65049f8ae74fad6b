package conformance_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/httpd"
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/test/harness"
)

// TestCase119AThousandViewersAreGoneWithTheirStream runs the server's parts in
// this process, to count what they leave behind.
func TestCase119AThousandViewersAreGoneWithTheirStream(t *testing.T) {
	const crowd = 1000
	const path = "case119"
	streams, address := playServer(t)
	pub, err := streams.Publish(path)
	if err != nil {
		t.Fatal(err)
	}
	_, tags := harness.Tags(t, harness.Media(t, "h264_aac.flv"))
	for _, tag := range tags {
		packet := flv.ParseBody(tag.Type, tag.Body)
		packet.DTS = tag.DTS
		if err := pub.Write(packet); err != nil {
			t.Fatal(err)
		}
	}

	harness.Eventually(t, "the server has begun", func() bool {
		stacks := make([]byte, 1<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("(*Sweeper).Run"))
	})
	before := runtime.NumGoroutine()
	var viewers, begun sync.WaitGroup
	begun.Add(crowd)
	errs := make(chan error, crowd)
	for i := range crowd {
		scheme := []string{"http", "ws"}[i%2]
		viewers.Go(func() { errs <- watch(t.Context(), scheme+"://"+address+"/flv/"+path+"?wait=30s", begun.Done) })
	}
	begun.Wait()
	start := time.Now()
	pub.End(stream.ErrUnpublished)
	viewers.Wait()
	// Within 2 s on a machine of its own; nobody waits for a time limit on any.
	if d := time.Since(start); d > 9*time.Second {
		t.Errorf("it took %v until all were gone", d)
	}
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// watch reads a stream to its clean end and calls begun at its first tag.
func watch(ctx context.Context, address string, begun func()) error {
	begin := sync.OnceFunc(begun)
	defer begin()
	v, err := harness.Open(ctx, address)
	if err != nil {
		return err
	}
	if _, err := v.Next(); err != nil {
		return err
	}
	begin()
	_, err = v.Rest()
	return err
}

// playServer serves HTTP-FLV in this process.
func playServer(t *testing.T) (*stream.Registry, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := module.Deps{
		Log: log, Streams: stream.NewRegistry(stream.DefaultLimits()), Sessions: session.NewList(log),
		HTTP: httpd.NewMux(log, auth.NewGuard("")), Facts: &module.Facts{},
	}
	mod := httpflv.New(httpflv.DefaultConfig(), d)
	d.HTTP.Handle(auth.Play, "/flv/", mod)
	s := httptest.NewServer(d.HTTP)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mod.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
		s.Close()
	})
	return d.Streams, strings.TrimPrefix(s.URL, "http://")
}
