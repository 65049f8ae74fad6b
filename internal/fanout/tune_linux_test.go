package fanout_test

import (
	"errors"
	"testing"
	"time"

	"sluice/internal/fanout"
)

func TestAViewerThatTheKernelGivesUpIsStalledToo(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	server, client := pair(t)
	if err := client.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	v := fanout.NewViewer(server, l)
	v.Begin = l.Append(true, []byte{0})
	reason := serve(fanout.NewSweeper(time.Second), v) // which does not run
	for range 100 {
		l.Append(false, make([]byte, 100<<10))
	}
	if err := <-reason; !errors.Is(err, fanout.ErrStalled) {
		t.Errorf("the reason is %v", err)
	}
}
