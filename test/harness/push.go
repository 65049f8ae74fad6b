package harness

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/rtmp"
)

// Pusher is a publisher that sends exactly what it is told, when it is told.
type Pusher struct {
	client *rtmp.Client
	closed bool
}

// Connect begins to publish at a URL. The test's end closes the connection.
func Connect(tb testing.TB, address string) *Pusher {
	tb.Helper()
	u, err := rtmp.ParseURL(address)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := rtmp.Dial(tb.Context(), u)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Pusher{client: c}
	tb.Cleanup(p.Close)
	if err := c.Publish(tb.Context()); err != nil {
		tb.Fatalf("publishing %s: %v", address, err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = c.Wait() // only to answer pings; Send reports what went wrong
	}()
	tb.Cleanup(func() {
		p.Close()
		<-gone
	})
	return p
}

// Send sends tags as they are.
func (p *Pusher) Send(tb testing.TB, tags ...flv.Tag) {
	tb.Helper()
	for _, tag := range tags {
		ms := uint32(tag.DTS.Milliseconds()) //nolint:gosec // modulo 2^32
		if err := p.client.WriteTag(tag.Type, ms, tag.Body); err != nil {
			tb.Fatalf("sending the tag at %v: %v", tag.DTS, err)
		}
	}
}

// Finish ends the stream as an encoder does, and the connection.
func (p *Pusher) Finish(tb testing.TB) {
	tb.Helper()
	if err := p.client.Unpublish(); err != nil {
		tb.Errorf("unpublishing: %v", err)
	}
	p.Close()
}

// Close ends the connection alone.
func (p *Pusher) Close() {
	if !p.closed {
		p.closed = true
		_ = p.client.Close() // the server may be gone
	}
}

// Tags reads all tags of an FLV file, and its header.
func Tags(tb testing.TB, file string) (flv.Header, []flv.Tag) {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	return ReadTags(tb, f)
}

// ReadTags reads all tags of an FLV file or body that ends as it should.
func ReadTags(tb testing.TB, r io.Reader) (flv.Header, []flv.Tag) {
	tb.Helper()
	in := flv.NewReader(r)
	header, err := in.Header()
	if err != nil {
		tb.Fatal(err)
	}
	var tags []flv.Tag
	for {
		tag, err := in.Next()
		if errors.Is(err, io.EOF) {
			return header, tags
		}
		if err != nil {
			tb.Fatalf("behind %d tags: %v", len(tags), err)
		}
		tags = append(tags, tag)
	}
}

// Opening returns how many tags it takes until a stream of these is ready: up
// to the first frame of each of its tracks, for video the first key frame.
func Opening(tags []flv.Tag) int {
	type track struct {
		kind media.Kind
		id   uint8
	}
	known, opening := map[track]bool{}, 0
	for i, tag := range tags {
		for _, p := range flv.AppendPackets(nil, tag.Type, tag.Body) {
			t := track{p.Kind, p.Track}
			if !known[t] && p.Type == media.Frame && (p.Kind == media.Audio || p.Key) {
				known[t], opening = true, i+1
			}
		}
	}
	return opening
}

// Shift returns the tags, moved by d on a clock of 32 bits of milliseconds.
func Shift(tags []flv.Tag, d time.Duration) []flv.Tag {
	const wrap = time.Millisecond << 32
	out := make([]flv.Tag, len(tags))
	for i, tag := range tags {
		tag.DTS = (tag.DTS + d) % wrap
		out[i] = tag
	}
	return out
}
