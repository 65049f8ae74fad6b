package rtmp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/rtmp"
)

// server serves one connection on the loopback interface, and returns its
// URL and how it ends.
func server(t *testing.T, serve func(conn net.Conn) error) (url rtmp.URL, ended <-chan error) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			err = serve(conn)
		}
		done <- err
	}()
	return rtmp.URL{Host: ln.Addr().String(), App: "live", Name: "a/cam1?token=x/y"}, done
}

// untilPublished accepts everything up to a publish.
func untilPublished(conn net.Conn) (*rtmp.ServerConn, rtmp.Event, error) {
	c, err := rtmp.NewServerConn(conn, 0)
	if err != nil {
		return nil, rtmp.Event{}, err
	}
	for {
		ev, err := c.Next()
		if err != nil {
			return nil, ev, err
		}
		if err := c.Accept(); err != nil || ev.Kind == rtmp.PublishRequest {
			return c, ev, err
		}
	}
}

func published(t *testing.T, url rtmp.URL) *rtmp.Client {
	t.Helper()
	c, err := rtmp.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientPublishesTagsAndUnpublishes(t *testing.T) {
	t.Parallel()
	var got []rtmp.Event
	var app, tcURL string
	url, ended := server(t, func(conn net.Conn) error {
		c, ev, err := untilPublished(conn)
		if err != nil {
			return err
		}
		app, tcURL = c.App(), c.TCURL()
		for err == nil {
			got = append(got, ev)
			ev, err = c.Next()
		}
		return err
	})
	c := published(t, url)
	meta := []byte("\x02\x00\x0aonMetaData\x05")
	cue := []byte("\x02\x00\x0aonCuePoint\x05")
	big := bytes.Repeat([]byte{7}, 200_000)
	for _, m := range []rtmp.Message{
		{Type: rtmp.TypeData, Body: meta},
		{Type: rtmp.TypeAudio, Timestamp: 1, Body: []byte{0xaf, 0}},
		{Type: rtmp.TypeVideo, Timestamp: 0xffffffff, Body: big},
		{Type: rtmp.TypeData, Timestamp: 3, Body: cue},
	} {
		if err := c.WriteTag(m.Type, m.Timestamp, m.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Unpublish(), c.Close()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the server's connection ended with %v, want %v", err, io.EOF)
	}
	want := []rtmp.Event{
		{Kind: rtmp.PublishRequest, Name: "a/cam1?token=x/y"},
		{Kind: rtmp.Media, Message: rtmp.Message{Type: rtmp.TypeData, StreamID: 1, ChunkStream: 4, Body: append([]byte("\x02\x00\x0d@setDataFrame"), meta...)}},
		{Kind: rtmp.Media, Message: rtmp.Message{Type: rtmp.TypeAudio, StreamID: 1, ChunkStream: 4, Timestamp: 1, Body: []byte{0xaf, 0}}},
		{Kind: rtmp.Media, Message: rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Timestamp: 0xffffffff, Body: big}},
		{Kind: rtmp.Media, Message: rtmp.Message{Type: rtmp.TypeData, StreamID: 1, ChunkStream: 4, Timestamp: 3, Body: cue}},
		{Kind: rtmp.Ended},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the server heard (-want +got):\n%s", diff)
	}
	if app != "live" || tcURL != "rtmp://"+url.Host+"/live" {
		t.Errorf("the server heard app %q and tcUrl %q", app, tcURL)
	}
}

func TestClientTellsWhyItWasRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest} {
		url, ended := server(t, func(conn net.Conn) error {
			c, err := rtmp.NewServerConn(conn, 0)
			if err != nil {
				return err
			}
			for {
				ev, err := c.Next()
				if err != nil {
					return err
				}
				if ev.Kind == kind {
					return c.Refuse(rtmp.CodePublishBadName, "taken")
				}
				if err := c.Accept(); err != nil {
					return err
				}
			}
		})
		c, err := rtmp.Dial(t.Context(), url)
		command := "connect"
		if kind == rtmp.PublishRequest {
			if err != nil {
				t.Fatal(err)
			}
			err, command = c.Publish(t.Context()), "publish"
			c.Close()
		}
		got, ok := errors.AsType[*rtmp.StatusError](err)
		want := rtmp.StatusError{Command: command, Code: rtmp.CodePublishBadName, Description: "taken"}
		if !ok || *got != want {
			t.Errorf("refused with %v, want %v", err, &want)
		}
		if err := <-ended; err != nil {
			t.Errorf("the server's connection ended with %v", err)
		}
	}
}

// failAtFirstTag serves a publish and ends it with an error at the first tag.
func failAtFirstTag(conn net.Conn) error {
	c, _, err := untilPublished(conn)
	if err != nil {
		return err
	}
	if _, err := c.Next(); err != nil {
		return err
	}
	return c.Fail(rtmp.CodePublishRejected, "enough")
}

func TestWaitReturnsTheServersReason(t *testing.T) {
	t.Parallel()
	url, ended := server(t, failAtFirstTag)
	c := published(t, url)
	waited := make(chan error, 1)
	go func() { waited <- c.Wait() }()
	if err := c.WriteTag(rtmp.TypeAudio, 0, []byte{0xaf, 0}); err != nil {
		t.Fatal(err)
	}
	want := &rtmp.StatusError{Code: rtmp.CodePublishRejected, Description: "enough"}
	got, ok := errors.AsType[*rtmp.StatusError](<-waited)
	if !ok || *got != *want {
		t.Errorf("Wait() = %v, want %v", got, want)
	}
	if err := c.WriteTag(rtmp.TypeAudio, 0, nil); !errors.Is(err, got) {
		t.Errorf("WriteTag() error = %v afterwards, want %v", err, got)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server's connection ended with %v", err)
	}
}

func TestWriteThatFailsTellsTheServersReason(t *testing.T) {
	t.Parallel()
	url, ended := server(t, failAtFirstTag)
	c := published(t, url)
	var err error
	for err == nil { // until the connection is known to be closed
		err = c.WriteTag(rtmp.TypeAudio, 0, make([]byte, 1<<16))
	}
	// The reset that follows may overtake the reason.
	if _, ok := errors.AsType[*rtmp.StatusError](err); !ok {
		if _, ok := errors.AsType[net.Error](err); !ok {
			t.Errorf("WriteTag() error = %v", err)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("the server's connection ended with %v", err)
	}
}

func TestWaitAnswersPings(t *testing.T) {
	t.Parallel()
	url, ended := server(t, func(conn net.Conn) error {
		c, _, err := untilPublished(conn)
		if err != nil {
			return err
		}
		if err := c.Write(rtmp.UserControl{Event: rtmp.EventPingRequest, Value: 77}.Message()); err != nil {
			return err
		}
		want := []byte{0x42, 0, 0, 0, 0, 0, 6, 4, 0, 7, 0, 0, 0, 77} // as librtmp writes it
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	c := published(t, url)
	waited := make(chan error, 1)
	go func() { waited <- c.Wait() }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-waited; err == nil {
		t.Error("Wait() returned without an error when the connection was closed")
	}
}

func TestClientGivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go func() { _, _ = io.Copy(io.Discard, theirs) }() // until it is closed
		start := time.Now()
		_, err := rtmp.NewClient(t.Context(), ours, rtmp.URL{Host: "h:1", App: "live"})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("NewClient() error = %v after %v", err, took)
		}
	})
}

func TestClientTellsWhatElseAnswers(t *testing.T) {
	t.Parallel()
	url, ended := server(t, func(conn net.Conn) error {
		if _, err := io.ReadFull(conn, make([]byte, 1537)); err != nil {
			return err
		}
		_, err := io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return err
	})
	_, err := rtmp.Dial(t.Context(), url)
	if !errors.Is(err, rtmp.ErrNotRTMP) {
		t.Errorf("Dial() error = %v, want %v", err, rtmp.ErrNotRTMP)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
