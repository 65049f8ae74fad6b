package httpflv_test

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/conf"
	"sluice/internal/httpflv"
	"sluice/internal/session"
)

// heap returns what is in use of the heap.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// It is not parallel, for it measures. The publisher goes as fast as the viewer
// that reads, and the slow one takes a kilobyte of each second of media.
func TestCase116ASlowViewerIsDroppedAndDisturbsNobody(t *testing.T) {
	const (
		size  = 64 << 10
		every = 40 * time.Millisecond
		gop   = 25
	)
	s := newServer(t, func(c *httpflv.Config) {
		c.MaxLag, c.WriteTimeout, c.StreamMemory = conf.Duration(500*time.Millisecond), conf.Duration(2*time.Second), 8<<20
	})
	p := s.live(t, "live/test", "h264_only.flv")
	before := heap()
	slow, _ := s.raw(t, "GET /flv/live/test HTTP/1.1", "Host: x")
	if err := slow.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fast := flv.NewReader(get(t, s.URL+"/flv/live/test?join=next").Body)
	if _, err := fast.Header(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both watch", func() bool { return s.sessions.Count(session.Viewer, "live/test") == 2 })

	body := make([]byte, size)
	binary.BigEndian.PutUint32(body[5:], size-9)
	begin := time.Now()
	var last time.Duration
	for n := 0; s.sessions.Count(session.Viewer, "live/test") == 2; n++ {
		if time.Since(begin) > time.Minute {
			t.Fatal("the slow viewer is still there")
		}
		for i := range gop {
			frame := append([]byte{0x27, 1, 0, 0, 0}, body[5:]...)
			if frame[9] = 0x41; i == 0 {
				frame[0], frame[9] = 0x17, 0x65
			}
			pkt := flv.ParseVideo(frame)
			pkt.DTS = time.Minute + time.Duration(n*gop+i)*every
			if err := p.pub.Write(pkt); err != nil {
				t.Fatal(err)
			}
		}
		last = follow(t, fast, gop, size, every, last)
		if _, err := io.CopyN(io.Discard, slow, 1<<10); err != nil {
			break // it was dropped
		}
	}
	if n := heap(); n > before+32<<20 {
		t.Errorf("%d bytes in use, %d at first", n, before)
	}
	if n := s.sessions.Count(session.Viewer, "live/test"); n != 1 {
		eventually(t, "the slow one is gone", func() bool { return s.sessions.Count(session.Viewer, "live/test") == 1 })
	}
}

// follow reads n frames of the given size and checks that none is missing since
// last, the time of the one before, 0 for none. It returns that of the newest.
func follow(t *testing.T, r *flv.Reader, n, size int, every, last time.Duration) time.Duration {
	t.Helper()
	for n > 0 {
		tag, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(tag.Body) != size {
			continue // of the file
		}
		if last != 0 && tag.DTS != last+every {
			t.Fatalf("the frame at %v follows that at %v", tag.DTS, last)
		}
		last = tag.DTS
		n--
	}
	return last
}
