package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/flvtest"
	"sluice/internal/httpd"
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/pipetest"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/test/harness"
)

const crowd = 1000

// TestCase119AThousandViewersAreGoneWithTheirStream runs the server's parts in
// this process, to count what they leave behind: behind sockets, and behind pipes in a
// bubble, where time passes only while everybody waits for it.
func TestCase119AThousandViewersAreGoneWithTheirStream(t *testing.T) {
	t.Run("on sockets", func(t *testing.T) {
		streams, mod, mux := playModule()
		web := httptest.NewServer(mux)
		runPlay(t, mod, web.Close)
		address := strings.TrimPrefix(web.URL, "http://")
		pub := publishAll(t, streams)
		harness.Eventually(t, "the server has begun", func() bool {
			stacks := make([]byte, 1<<20)
			return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("(*Sweeper).Run"))
		})
		before := runtime.NumGoroutine()
		watchAndEnd(t, pub, func(i int, begun func()) error {
			return watch(t.Context(), []string{"http", "ws"}[i%2]+"://"+address+crowdPath, begun)
		})
		harness.Eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
	})
	t.Run("within two seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			streams, mod, mux := playModule()
			ln := make(pipetest.Listener)
			web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
			go func() { _ = web.Serve(ln) }() // ends with Close
			runPlay(t, mod, func() { _ = web.Close() })
			pub := publishAll(t, streams)
			synctest.Wait()
			before := runtime.NumGoroutine()
			took := watchAndEnd(t, pub, func(i int, begun func()) error {
				conn := ln.Dial()
				defer conn.Close()
				return watchPipe(conn, i%2 == 1, begun)
			})
			if took > 2*time.Second {
				t.Errorf("it took %v until all were gone", took)
			}
			synctest.Wait()
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines, %d before", n, before)
			}
		})
	})
}

const crowdPath = "/flv/case119?wait=30s"

// publishAll publishes a whole file without an end.
func publishAll(t *testing.T, streams *stream.Registry) *stream.Publisher {
	t.Helper()
	pub, err := streams.Publish("case119")
	if err != nil {
		t.Fatal(err)
	}
	_, tags := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	for _, tag := range tags {
		packet := flv.ParseBody(tag.Type, tag.Body)
		packet.DTS = tag.DTS
		if err := pub.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	return pub
}

// watchAndEnd has a crowd watch, each of which calls begun, ends the stream, and returns
// how long it took until all have seen the end.
func watchAndEnd(t *testing.T, pub *stream.Publisher, watch func(i int, begun func()) error) time.Duration {
	t.Helper()
	var viewers, begun sync.WaitGroup
	begun.Add(crowd)
	errs := make(chan error, crowd)
	for i := range crowd {
		viewers.Go(func() {
			begin := sync.OnceFunc(begun.Done)
			defer begin()
			errs <- watch(i, begin)
		})
	}
	begun.Wait()
	start := time.Now()
	pub.End(stream.ErrUnpublished)
	viewers.Wait()
	took := time.Since(start)
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return took
}

// watch reads a stream to its clean end and calls begun at its first tag.
func watch(ctx context.Context, address string, begun func()) error {
	v, err := harness.Open(ctx, address)
	if err != nil {
		return err
	}
	if _, err := v.Next(); err != nil {
		return err
	}
	begun()
	_, err = v.Rest()
	return err
}

// watchPipe is watch on a connection.
func watchPipe(conn net.Conn, upgrade bool, begun func()) error {
	in := bufio.NewReader(conn)
	if upgrade {
		d := ws.Dialer{}
		if _, _, err := d.Upgrade(conn, &url.URL{Scheme: "ws", Host: "sluice", Path: "/flv/case119", RawQuery: "wait=30s"}); err != nil {
			return err
		}
		return readMessages(in, begun)
	}
	if _, err := io.WriteString(conn, "GET "+crowdPath+" HTTP/1.1\r\nHost: sluice\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(answer.Body, make([]byte, 13)); err != nil {
		return err
	}
	begun()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// readMessages reads WebSocket messages up to the one that closes.
func readMessages(in io.Reader, begun func()) error {
	for {
		h, err := ws.ReadHeader(in)
		if err != nil || h.OpCode == ws.OpClose {
			return err
		}
		if _, err := io.CopyN(io.Discard, in, h.Length); err != nil {
			return err
		}
		begun()
	}
}

// playModule makes HTTP-FLV in this process.
func playModule() (*stream.Registry, *httpflv.Module, *httpd.Mux) {
	log := slog.New(slog.DiscardHandler)
	d := module.Deps{
		Log: log, Streams: stream.NewRegistry(stream.DefaultLimits()), Sessions: session.NewList(log),
		HTTP: httpd.NewMux(log, auth.NewGuard("")), Facts: &module.Facts{},
	}
	mod := httpflv.New(httpflv.DefaultConfig(), d)
	d.HTTP.Handle(auth.Play, "/flv/", mod)
	return d.Streams, mod, d.HTTP
}

// runPlay runs it until the test ends, and closes what serves it then.
func runPlay(t *testing.T, mod *httpflv.Module, closeServer func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- mod.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
		closeServer()
	})
}
