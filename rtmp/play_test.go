package rtmp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/rtmp"
)

// playTo serves one player: everything in file at once, in small chunks, each
// message with all of its header or with what it needs.
func playTo(conn net.Conn, file []flv.Tag, full bool) error {
	c, err := rtmp.NewServerConn(conn, 0)
	if err != nil {
		return err
	}
	for {
		ev, err := c.Next()
		if err != nil {
			return err
		}
		if err := c.Accept(); err != nil {
			return err
		}
		if ev.Kind == rtmp.PlayRequest {
			break
		}
	}
	if err := c.Write(rtmp.Control(rtmp.TypeSetChunkSize, 128)); err != nil {
		return err
	}
	var ms []rtmp.Message
	for _, tag := range file {
		csid := map[uint8]uint32{flv.TagVideo: 6, flv.TagAudio: 4, flv.TagScript: 5}[tag.Type]
		ms = append(ms, rtmp.Message{
			Type: tag.Type, StreamID: 1, ChunkStream: csid,
			Timestamp: uint32(tag.DTS.Milliseconds()),
			Body:      tag.Body,
		})
	}
	if full {
		var b []byte
		for _, m := range ms {
			if b, err = rtmp.AppendMessage(b, m, 128); err != nil {
				return err
			}
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		ms = nil
	}
	over, err := amf0.AppendAll(nil, "onStatus", 0, nil, amf0.Object{
		{Key: "level", Value: "status"},
		{Key: "code", Value: "NetStream.Play.UnpublishNotify"},
		{Key: "description", Value: "over"},
	})
	if err != nil {
		return err
	}
	ms = append(ms, rtmp.Message{Type: rtmp.TypeCommand, StreamID: 1, ChunkStream: 5, Body: over})
	if err := c.Write(ms...); err != nil {
		return err
	}
	for {
		if _, err := c.Next(); err != nil {
			return err
		}
	}
}

func TestCase038FFmpegPlaysAcrossTheExtendedTimestamp(t *testing.T) {
	t.Parallel()
	var wire bytes.Buffer
	want := rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 4, Timestamp: 0x01000000, Body: bytes.Repeat([]byte{0xaa}, 300)}
	if err := rtmp.NewWriter(&wire).Write(want); err != nil {
		t.Fatal(err)
	}
	ext := []byte{1, 0, 0, 0}
	for i, at := range []int{12, 12 + 4 + 128 + 1, 12 + 4 + 128 + 1 + 4 + 128 + 1} {
		if got := wire.Bytes()[at : at+4]; !bytes.Equal(got, ext) {
			t.Errorf("chunk %d has the extended timestamp %x, want %x", i, got, ext)
		}
	}
	if diff := cmp.Diff([]rtmp.Message{want}, messages(t, wire.Bytes())); diff != "" {
		t.Errorf("the message comes back otherwise (-want +got):\n%s", diff)
	}

	for _, full := range []bool{false, true} {
		ffmpegPlays(t, full)
	}
}

func ffmpegPlays(t *testing.T, full bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file := flvtest.Tags(t, "mutants/ts_24bit.flv")
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		served <- playTo(conn, file, full)
	}()

	url := fmt.Sprintf("rtmp://%s/live/x", ln.Addr())
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "warning", "-copyts", "-i", url,
		"-map", "0:v", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, log.String())
	}
	if err := <-served; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("serving the player ended with %v", err)
	}
	if !strings.Contains(out.String(), "frame=100\n") {
		t.Errorf("ffmpeg decoded other than 100 frames:\n%s\n%s", out.String(), log.String())
	}
	if strings.Contains(log.String(), "mismatch") || strings.Contains(log.String(), "rror") {
		t.Errorf("ffmpeg complains:\n%s", log.String())
	}
}
