package fanout_test

import (
	"errors"
	"testing"
	"time"

	"sluice/internal/fanout"
)

// broken is a Peer with a fault.
type broken struct{}

func (broken) Input([]byte) ([]byte, error)   { panic("input") }
func (broken) Tick(time.Time) ([]byte, error) { panic("tick") }

func TestAFaultOfAPeerCostsItsViewerAlone(t *testing.T) {
	l := newLog(t)
	s := newSweeper(t, time.Minute)
	server, _ := pair(t)
	v := fanout.NewViewer(server, l)
	v.Peer = broken{}
	if err := s.Serve(v); !errors.Is(err, fanout.ErrInternal) {
		t.Errorf("Serve() = %v", err)
	}
	// The sweeper goes on.
	server, client := pair(t)
	reason := serve(s, fanout.NewViewer(server, l))
	client.Close()
	if err := <-reason; !errors.Is(err, fanout.ErrGone) {
		t.Errorf("the next viewer ended with %v", err)
	}
}
