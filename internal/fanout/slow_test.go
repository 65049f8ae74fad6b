package fanout_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"sluice/internal/fanout"
)

// stuck starts a viewer over a connection whose buffers are as small as the
// system allows, and whose client does not read yet.
func stuck(t *testing.T, s *fanout.Sweeper, l *fanout.Log, begin int64) (client io.Reader, reason <-chan error) {
	t.Helper()
	server, c := pair(t)
	if err := errors.Join(server.SetWriteBuffer(4096), c.SetReadBuffer(4096)); err != nil {
		t.Fatal(err)
	}
	v := fanout.NewViewer(server, l)
	v.Begin = begin
	return c, serve(s, v)
}

func TestAViewerThatWasStuckFinishesItsFrameAndIsMoved(t *testing.T) {
	l := newLog(t, func(o *fanout.Options) { o.MaxLag = 50 * time.Millisecond })
	const frames, size = 60, 4000
	begin := l.Position()
	for i := range frames {
		l.Append(i == 0, fmt.Appendf(nil, "[%0*d]", size-2, i))
	}
	client, reason := stuck(t, newSweeper(t, time.Hour), l, begin)
	// The log learns of time when it is appended to.
	for range 4 {
		<-time.After(120 * time.Millisecond)
		l.Append(false, []byte("{lost}"))
	}
	l.Append(true, []byte("{key}"))
	l.End(errOver)
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-reason; !errors.Is(err, errOver) {
		t.Errorf("the reason is %v", err)
	}
	whole, found := bytes.CutSuffix(got, []byte("]{key}"))
	if !found || len(got)%size != len("{key}") || len(whole) > frames*size/2 {
		t.Errorf("got %d bytes, the last of them %q; want some whole frames and the key position", len(got), got[max(0, len(got)-20):])
	}
	if n := l.Stats().Moved; n != 1 {
		t.Errorf("%d viewers are counted as moved", n)
	}
}

func TestStuckViewersCannotHoldOnToMuchMemory(t *testing.T) {
	l := newLog(t, func(o *fanout.Options) { o.MaxLag = time.Millisecond })
	s := newSweeper(t, time.Hour)
	const viewers, size = 60, 256 << 10
	var reasons []<-chan error
	for range viewers {
		at := l.Append(true, make([]byte, size))
		client, reason := stuck(t, s, l, at)
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, reason)
	}
	// 4 MiB are 16 such blocks. One or the other of the viewers may not have
	// been stuck yet when its block was forgotten.
	gone := 0
	for _, r := range reasons[:viewers/2] {
		select {
		case err := <-r:
			if !errors.Is(err, fanout.ErrLagged) {
				t.Errorf("the reason is %v", err)
			}
			gone++
		case <-time.After(time.Second):
		}
	}
	if gone < viewers/4 {
		t.Errorf("%d of the %d oldest viewers had to go", gone, viewers/2)
	}
	select {
	case err := <-reasons[viewers-1]:
		t.Errorf("the newest viewer had to go: %v", err)
	default:
	}
}
