package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/flv"
	"sluice/internal/record"
)

// pipes is a listener whose connections are held in memory, so that deadlines
// pass on the clock of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// listen serves the module by HTTP/1 and 2. Every request that ends is told to
// ended, by its query.
func (s *server) listen(t *testing.T, ended chan<- string) *pipes {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	h := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- r.URL.RawQuery }()
		r.RemoteAddr = "127.0.0.1:5000"
		s.mux.ServeHTTP(w, r)
	}), Protocols: new(http.Protocols)}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := h.Serve(p); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(func() {
		_ = h.Close() // nothing but the listener can fail
		serving.Wait()
	})
	return p
}

// get asks for a file over a connection of its own.
func (p *pipes) get(t *testing.T, target string) (*http.Response, net.Conn) {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return answer(t, conn), conn
}

func TestADownloadThatTakesNothingIsEndedAndDisturbsNoOther(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "start=2", "follow=true", "format=mp4"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, dir)
				f := s.finished(t, "live/test", "h264_aac.flv", 8*time.Second)
				target := files + f.File + "?" + query
				want := s.call(http.MethodGet, target).Body.Bytes()
				ended := make(chan string, 2)
				local := s.listen(t, ended)

				slow, _ := local.get(t, target+"&slow")
				_, stuck := local.get(t, target)
				began := time.Now()
				done := make(chan []byte)
				go func() { done <- slowly(t, slow.Body) }()
				if got := <-ended; got != query || time.Since(began) != record.WriteLimit {
					t.Errorf("after %v the request with %q ended", time.Since(began), got)
				}
				if n, err := io.Copy(io.Discard, stuck); err != nil {
					t.Errorf("%d bytes behind the end: %v", n, err)
				}
				got := <-done
				if took := time.Since(began); took < 2*record.WriteLimit {
					t.Errorf("the slow one took %v only", took)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("the slow one got %d bytes, want %d", len(got), len(want))
				}
				s.stop()
			})
		})
	}
}

// slowly reads to the end, some every five seconds.
func slowly(t *testing.T, r io.Reader) (all []byte) {
	t.Helper()
	var b bytes.Buffer
	for {
		<-time.After(5 * time.Second)
		if _, err := io.CopyN(&b, r, 16<<10); errors.Is(err, io.EOF) {
			return b.Bytes()
		} else if err != nil {
			t.Error(err)
			return nil
		}
	}
}

func TestAFollowerMayHaveToWaitLongerThanAClientMayTake(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]func(*http.Protocols, bool){
		"HTTP/1": (*http.Protocols).SetHTTP1, "HTTP/2": (*http.Protocols).SetUnencryptedHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, dir)
				local := s.listen(t, make(chan string, 1))
				p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
				f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
				p.until(3 * time.Second)
				<-time.After(time.Second)
				client := http.Transport{DialContext: local.dial, Protocols: new(http.Protocols)}
				version(client.Protocols, true)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+files+f.File+"?follow=true", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				got, err := client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				defer client.CloseIdleConnections()
				defer got.Body.Close()
				var last atomic.Int64
				end := make(chan error)
				go func() {
					tags := flv.NewReader(got.Body)
					for {
						tag, err := tags.Next()
						if err != nil {
							end <- err
							return
						}
						last.Store(int64(tag.DTS))
					}
				}()
				<-time.After(3 * record.WriteLimit) // as a disk hangs, or a publisher is waited for
				p.until(5 * time.Second)
				<-time.After(time.Second)
				synctest.Wait()
				if at := time.Duration(last.Load()); at < 4900*time.Millisecond {
					t.Errorf("what came after the pause is not there: it is at %v", at)
				}
				s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
				if err := <-end; !errors.Is(err, io.EOF) {
					t.Errorf("it ends with %v", err)
				}
				s.stop()
			})
		})
	}
}
