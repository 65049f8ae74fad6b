package harness

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"sluice/flv"
	"sluice/media"
)

// Witness is a viewer that watches in the background while something happens
// to the server, and notes whether that disturbed it. It is safe for
// concurrent use.
type Witness struct {
	mu   sync.Mutex // guards all below
	tags int
	err  error
	more chan struct{} // closed and replaced with each tag, and at the end
}

// NewWitness begins to watch and returns when the first media has come.
func NewWitness(tb testing.TB, address string) *Witness {
	tb.Helper()
	v := Watch(tb, address)
	w := &Witness{more: make(chan struct{})}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		w.watch(v)
	}()
	tb.Cleanup(func() { <-gone }) // its connection ends with the test's context
	w.Undisturbed(tb)
	return w
}

// watch reads until the end; it notes the first thing that is out of order.
func (w *Witness) watch(v *Viewer) {
	last := map[media.Kind]time.Duration{}
	for {
		tag, err := v.Next()
		if err == nil {
			err = inOrder(last, tag)
		}
		w.mu.Lock()
		w.tags++
		w.err = err
		close(w.more)
		w.more = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func inOrder(last map[media.Kind]time.Duration, tag flv.Tag) error {
	p := flv.ParseBody(tag.Type, tag.Body)
	was, ok := last[p.Kind]
	switch {
	case p.Type != media.Frame || p.Kind == media.Data:
		return nil
	case !ok && p.Kind == media.Video && !p.Key:
		return errors.New("the first picture is no key frame")
	case ok && (tag.DTS < was || tag.DTS > was+2*time.Second):
		return fmt.Errorf("%v at %v follows %v", p.Kind, tag.DTS, was)
	}
	last[p.Kind] = tag.DTS
	return nil
}

func (w *Witness) state() (tags int, more <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tags, w.more, w.err
}

// Undisturbed waits for tags that come from now on: some that may be under
// way, and then some.
func (w *Witness) Undisturbed(tb testing.TB) {
	tb.Helper()
	const enough = 30 // well over what one write carries
	bound := time.After(Patience)
	start, _, _ := w.state() // an error comes up below
	for {
		tags, more, err := w.state()
		if err != nil {
			tb.Fatalf("the witness was disturbed behind %d tags: %v", tags, err)
		}
		if tags >= start+enough {
			return
		}
		select {
		case <-more:
		case <-bound:
			tb.Fatalf("the witness got no more than %d tags", tags)
		}
	}
}

// Ended waits for the end of the stream, which has to be a clean one.
func (w *Witness) Ended(tb testing.TB) {
	tb.Helper()
	bound := time.After(Patience)
	for {
		tags, more, err := w.state()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatalf("the stream did not end cleanly behind %d tags: %v", tags, err)
		}
		select {
		case <-more:
		case <-bound:
			tb.Fatalf("the stream does not end")
		}
	}
}
