package rtmp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"sluice/rtmp"
)

// serveTags serves a player the tags, and then ends the stream or hangs up.
func serveTags(conn net.Conn, finish bool, ms ...rtmp.Message) error {
	c, err := rtmp.NewServerConn(conn, 0)
	if err != nil {
		return err
	}
	for {
		ev, err := c.Next()
		if err != nil {
			return err
		}
		switch {
		case ev.Kind == rtmp.PlayRequest && ev.Name != "a/cam1?token=x/y":
			return c.Refuse(rtmp.CodePlayFailed, "not this name: "+ev.Name)
		case ev.Kind == rtmp.PlayRequest && len(ms) == 0:
			return c.Refuse(rtmp.CodePlayNotFound, "nobody")
		}
		if err := c.Accept(); err != nil {
			return err
		}
		if ev.Kind == rtmp.PlayRequest {
			break
		}
	}
	if err := c.Write(ms...); err != nil || !finish {
		return err
	}
	last, err := c.Detach().Finish()
	if err != nil {
		return err
	}
	if _, err := conn.Write(last); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

func TestClientPlaysTagsToTheEnd(t *testing.T) {
	t.Parallel()
	audio := rtmp.Message{Type: rtmp.TypeAudio, StreamID: 1, ChunkStream: 4, Timestamp: 0x01000000, Body: []byte{0xaf, 1, 2}}
	data := rtmp.Message{Type: rtmp.TypeData, StreamID: 1, ChunkStream: 5, Body: []byte(metadataOf("x"))}
	for _, tt := range []struct {
		finish bool
		end    error
	}{{true, io.EOF}, {false, io.ErrUnexpectedEOF}} {
		url, ended := server(t, func(conn net.Conn) error { return serveTags(conn, tt.finish, data, audio) })
		c, err := rtmp.Dial(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Play(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []rtmp.Message{data, audio} {
			typ, ms, body, err := c.ReadTag()
			if err != nil || typ != want.Type || ms != want.Timestamp || string(body) != string(want.Body) {
				t.Errorf("ReadTag() = %d, %d, %q, %v, want %v", typ, ms, body, err, want)
			}
		}
		if _, _, _, err := c.ReadTag(); !errors.Is(err, tt.end) {
			t.Errorf("the end is %v, want %v", err, tt.end)
		}
		c.Close()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

func metadataOf(name string) string { return "\x02\x00\x01" + name }

func TestClientTellsWhyItMayNotPlay(t *testing.T) {
	t.Parallel()
	url, ended := server(t, func(conn net.Conn) error { return serveTags(conn, true) })
	c, err := rtmp.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Play(t.Context())
	if s, ok := errors.AsType[*rtmp.StatusError](err); !ok || s.Code != rtmp.CodePlayNotFound || s.Command != "play" {
		t.Errorf("Play() error = %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestClientWaitsForThePublisherAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	url, ended := server(t, func(conn net.Conn) error {
		c, err := rtmp.NewServerConn(conn, 0)
		for err == nil {
			var ev rtmp.Event
			if ev, err = c.Next(); err != nil || ev.Kind == rtmp.PlayRequest {
				break
			}
			err = c.Accept()
		}
		if err == nil {
			_, err = io.Copy(io.Discard, conn) // waits until the client gives up
		}
		return err
	})
	c, err := rtmp.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Play(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Play() error = %v", err)
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
