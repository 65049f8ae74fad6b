package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/flv"
	"sluice/rtmp"
)

// PublishOptions say what is published.
type PublishOptions struct {
	// URL of the streams, rtmp://host/app/name. With several streams, "{n}"
	// in it stands for the stream's number, and is appended where it is
	// missing.
	URL     string
	Streams int
	// BitRate of one stream in bits per second, audio included.
	BitRate int
	// FPS is the number of video frames a second, GOP how many seconds lie
	// between two key frames.
	FPS float64
	GOP time.Duration
	// Audio is the number of audio frames a second, 0 for none.
	Audio float64
	// Duration ends publishing; 0 means when ctx is done.
	Duration time.Duration
}

// PublishResult is what was published.
type PublishResult struct {
	Streams int           `json:"streams"`
	Packets int64         `json:"packets"`
	Bytes   int64         `json:"bytes"`
	Late    time.Duration `json:"lateNs"` // the most that a packet was sent after its time
}

// How the bytes of a stream are shared out.
const (
	audioFrameLen = 186
	keyWeight     = 6 // a key frame is this many times larger than another
)

// Publish publishes streams until ctx or the duration is over, or one of them
// fails. ready is called once all of them are under way.
func Publish(ctx context.Context, o PublishOptions, ready func()) (PublishResult, error) {
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var total counters
	var wg, begun sync.WaitGroup
	begun.Add(o.Streams)
	for n := range o.Streams {
		wg.Go(func() {
			if err := publishOne(ctx, o, n, &total, begun.Done); err != nil {
				fail(fmt.Errorf("publishing stream %d: %w", n, err))
			}
		})
	}
	allBegun := make(chan struct{})
	go func() { begun.Wait(); close(allBegun) }()
	select {
	case <-allBegun:
		ready()
	case <-ctx.Done():
	}
	wg.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return PublishResult{o.Streams, total.packets.Load(), total.bytes.Load(), time.Duration(total.late.Load())}, err
}

type counters struct{ packets, bytes, late atomic.Int64 }

// StreamURL returns the URL of stream n of several.
func StreamURL(pattern string, n, of int) string {
	number := strconv.Itoa(n)
	switch {
	case strings.Contains(pattern, "{n}"):
		return strings.ReplaceAll(pattern, "{n}", number)
	case of > 1:
		path, query, found := strings.Cut(pattern, "?")
		path, suffix := strings.TrimSuffix(path, ".flv"), strings.HasSuffix(path, ".flv")
		path += number
		if suffix {
			path += ".flv"
		}
		if found {
			path += "?" + query
		}
		return path
	}
	return pattern
}

func publishOne(ctx context.Context, o PublishOptions, n int, total *counters, begun func()) error {
	once := sync.OnceFunc(begun)
	defer once()
	u, err := rtmp.ParseURL(StreamURL(o.URL, n, o.Streams))
	if err != nil {
		return err
	}
	c, err := rtmp.Dial(ctx, u)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Publish(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.Close()
	wg.Go(func() { _ = c.Wait() }) // the answers; a lost connection shows in the next write

	s := newSource(o)
	for _, t := range s.configs() {
		if err := c.WriteTag(t.Type, 0, t.Body); err != nil {
			return err
		}
	}
	once()
	// The streams begin at different times, so that their frames do too.
	phase := time.Duration(n) * time.Second / time.Duration(max(o.FPS, 1)) / time.Duration(o.Streams)
	start := time.Now().Add(phase)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		tag := s.next()
		timer.Reset(time.Until(start.Add(tag.DTS)))
		select {
		case <-ctx.Done():
			return c.Unpublish()
		case <-timer.C:
		}
		if late := int64(time.Since(start.Add(tag.DTS))); late > total.late.Load() {
			total.late.Store(late)
		}
		stamp(tag.Body)
		if err := c.WriteTag(tag.Type, uint32(tag.DTS.Milliseconds()), tag.Body); err != nil { //nolint:gosec // modulo 2^32
			return err
		}
		total.packets.Add(1)
		total.bytes.Add(int64(len(tag.Body)))
	}
}

// source makes the frames of a stream: containers that any server takes for
// H.264 and AAC, with nothing to see in them.
type source struct {
	o             PublishOptions
	video, audio  int // how many were made
	key, inter, a []byte
	perGOP        int
}

func newSource(o PublishOptions) *source {
	s := &source{o: o, perGOP: max(1, int(o.FPS*o.GOP.Seconds()+0.5))}
	videoBytes := (float64(o.BitRate)/8 - o.Audio*audioFrameLen) * o.GOP.Seconds()
	unit := max(int(videoBytes)/(s.perGOP-1+keyWeight), 64)
	s.key = videoFrame(0x17, 0x65, unit*keyWeight)
	s.inter = videoFrame(0x27, 0x41, unit)
	s.a = append([]byte{0xaf, 1}, appendStamp(nil, 0)...)
	s.a = append(s.a, make([]byte, audioFrameLen-len(s.a))...)
	return s
}

// videoFrame returns the body of a video tag of n bytes with one NAL unit.
func videoFrame(first, nal byte, n int) []byte {
	const head = 5 + 4
	b := []byte{first, 1, 0, 0, 0, byte((n - head) >> 24), byte((n - head) >> 16), byte((n - head) >> 8), byte(n - head), nal}
	b = appendStamp(b, 0)
	for len(b) < n {
		b = append(b, 0x5a)
	}
	return b
}

// stamp writes the time into a frame.
func stamp(body []byte) {
	for at := 2; at <= 10; at += 8 { // where audio and video carry it
		if len(body) >= at+stampLen && string(body[at:at+len(stampMark)]) == string(stampMark) {
			appendStamp(body[:at:at+stampLen], now())
			return
		}
	}
}

func (s *source) configs() []flv.Tag {
	tags := []flv.Tag{{Type: flv.TagVideo, Body: []byte("\x17\x00\x00\x00\x00\x01\x42\xc0\x1e\xff\xe1\x00\x0a\x67\x42\xc0\x1e\xda\x02\x80\xbf\xe5\x84\x01\x00\x04\x68\xce\x0f\xc8")}}
	if s.o.Audio > 0 {
		tags = append(tags, flv.Tag{Type: flv.TagAudio, Body: []byte{0xaf, 0, 0x12, 0x10}})
	}
	return tags
}

// next returns the next frame, its body valid until the call after.
func (s *source) next() flv.Tag {
	video := time.Duration(float64(s.video) * float64(time.Second) / s.o.FPS)
	if s.o.Audio > 0 {
		audio := time.Duration(float64(s.audio) * float64(time.Second) / s.o.Audio)
		if audio < video {
			s.audio++
			return flv.Tag{Type: flv.TagAudio, DTS: audio, Body: s.a}
		}
	}
	s.video++
	if (s.video-1)%s.perGOP == 0 {
		return flv.Tag{Type: flv.TagVideo, DTS: video, Body: s.key}
	}
	return flv.Tag{Type: flv.TagVideo, DTS: video, Body: s.inter}
}
