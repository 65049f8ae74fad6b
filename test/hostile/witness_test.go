package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/rtmp"
)

// What a witness puts up with. A gap in the stream's own time is a picture that
// was lost; one in the time of arrival may be the machine's fault.
const (
	maxMissing = 100 * time.Millisecond // between two frames of a kind
	maxSilence = 5 * time.Second
)

// playersAmong is how many witnesses there are for one who plays by RTMP; the others
// watch by HTTP.
const playersAmong = 25

// sight is what a witness saw.
type sight struct {
	seconds map[int64]int64 // bytes of media, by second of the stream
	silence time.Duration   // the longest without a tag
	fault   error
}

// witness watches a stream with many viewers until ctx is done. It says so in a
// line when all have begun. All of them have to see the same bytes, without a gap.
func witness(ctx context.Context, p plan) report {
	var r report
	sights := make([]sight, p.Count)
	var all, begun sync.WaitGroup
	begun.Add(p.Count)
	for i := range sights {
		open := openHTTP
		if i%playersAmong == 0 {
			open = openRTMP
		}
		all.Go(func() { sights[i] = watch(ctx, p, open, begun.Done) })
	}
	begun.Wait()
	fmt.Println("watching") //nolint:forbidigo // the test waits for it
	all.Wait()
	var silence time.Duration
	for i, s := range sights {
		if s.fault != nil {
			r.bad("viewer %d: %v", i, s.fault)
		}
		if s.silence > maxSilence {
			r.bad("viewer %d saw nothing for %v", i, s.silence)
		}
		silence = max(silence, s.silence)
	}
	r.Done, r.Longest = p.Count, silence
	bytes, seconds := compare(&r, sights)
	r.Seen = map[string]int{"by RTMP": (p.Count + playersAmong - 1) / playersAmong, "bytes for each": int(bytes), "seconds": seconds}
	return r
}

// compare checks that all have seen the same in each second that all have seen
// whole.
func compare(r *report, sights []sight) (bytes int64, seconds int) {
	from, to := int64(0), int64(1<<62)
	for _, s := range sights {
		if len(s.seconds) == 0 {
			return 0, 0
		}
		first, last := int64(1<<62), int64(0)
		for at := range s.seconds {
			first, last = min(first, at), max(last, at)
		}
		from, to = max(from, first+1), min(to, last)
	}
	for at := from; at < to; at++ {
		want := sights[0].seconds[at]
		if i := slices.IndexFunc(sights, func(s sight) bool { return s.seconds[at] != want }); i > 0 {
			r.bad("viewer %d has %d bytes of second %d, viewer 0 has %d", i, sights[i].seconds[at], at, want)
		}
		bytes += want
		seconds++
	}
	if seconds == 0 {
		r.bad("no second was seen by all")
	}
	return bytes, seconds
}

// openHTTP begins to watch and returns what reads the next tag.
func openHTTP(ctx context.Context, p plan) (next func() (flv.Tag, error), end func() error, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTP+"/flv/"+p.Stream+"?wait=30s&join=gop", http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, errors.Join(errors.New(answer.Status), answer.Body.Close())
	}
	return flv.NewReader(answer.Body).Next, answer.Body.Close, nil
}

// openRTMP is [openHTTP] for RTMP.
func openRTMP(ctx context.Context, p plan) (next func() (flv.Tag, error), end func() error, err error) {
	to, err := rtmp.ParseURL("rtmp://" + p.RTMP + "/" + p.Stream + "?wait=30s&join=gop")
	if err != nil {
		return nil, nil, err
	}
	// An address may have so many that do not play yet, and the publisher has another.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, 0, 1)}}
	conn, err := d.DialContext(ctx, "tcp", to.Host)
	if err != nil {
		return nil, nil, err
	}
	c, err := rtmp.NewClient(ctx, conn, to)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if err := c.Play(ctx); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return func() (flv.Tag, error) {
		typ, at, body, err := c.ReadTag()
		return flv.Tag{Type: typ, DTS: time.Duration(at) * time.Millisecond, Body: body}, err
	}, c.Close, nil
}

// opening begins to watch as [openHTTP] does.
type opening func(context.Context, plan) (next func() (flv.Tag, error), end func() error, err error)

// watch is one viewer.
func watch(ctx context.Context, p plan, open opening, begun func()) (s sight) {
	begun = sync.OnceFunc(begun)
	defer begun()
	s.seconds = map[int64]int64{}
	next, end, err := open(ctx, p)
	if err != nil {
		return sight{fault: err}
	}
	defer func() { _ = end() }() // whatever is wrong was seen before
	newest, last := time.Now(), map[media.Kind]time.Duration{}
	for {
		tag, err := next()
		switch {
		case ctx.Err() != nil:
			return s
		case errors.Is(err, io.EOF):
			s.fault = errors.New("the stream ended")
			return s
		case err != nil:
			s.fault = err
			return s
		}
		now := time.Now()
		s.silence = max(s.silence, now.Sub(newest))
		newest = now
		s.seconds[int64(tag.DTS/time.Second)] += int64(len(tag.Body))
		if s.fault = follows(last, tag); s.fault != nil {
			return s
		}
		begun()
	}
}

// follows checks that a tag is the next one of its kind.
func follows(last map[media.Kind]time.Duration, tag flv.Tag) error {
	k := flv.ParseBody(tag.Type, tag.Body).Kind
	was, ok := last[k]
	last[k] = tag.DTS
	if k != media.Data && ok && (tag.DTS < was || tag.DTS > was+maxMissing) {
		return fmt.Errorf("%v at %v follows %v", k, tag.DTS, was)
	}
	return nil
}
