package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"sluice/flv"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

const (
	// flushEvery is how long a packet waits at most before it is handed to
	// the system. What the system has been handed survives the end of the
	// process, not a loss of power: the disk is only waited for (fsync) when
	// a recording ends.
	flushEvery = 500 * time.Millisecond
	// maxWrite is how many bytes are handed over at once, and a packet more.
	maxWrite = 1 << 20
)

var (
	// errElapsed ends a recording that was asked for that long.
	errElapsed error = session.NewReason("elapsed", "the time is over that the recording was asked for")
	// errRemoved ends a recording whose file was taken away.
	errRemoved error = session.NewReason("file_removed", "the file was removed, or replaced, while it was being written")
)

// errFull ends a recording at the longest time that a file can express.
var errFull error = session.NewReason("file_full", "the file has reached the longest time that its format can express")

// recording is one recording from the moment that it is asked for, with one
// file after the other where it has segments. They are written by one
// goroutine, which owns what no lock guards.
type recording struct {
	log     *slog.Logger
	options options
	store   *store
	segment SegmentConfig
	queue   *queue
	begun   chan struct{} // closed when it is known whether it could begin, or that it waits for its stream
	done    chan struct{} // closed when nothing of it is left
	stopped bool          // by a call of the API; guarded by recorder.mu

	startErr error // set before begun is closed

	// Set before it runs.
	stream  *stream.Stream
	catalog *catalog
	session *session.Session
	window  []*media.Packet // what the stream held when it began
	detach  func()
	until   time.Time // when it ends by itself; zero is never

	part
	seq     int           // of the part
	empty   bool          // the part has no packet yet
	first   time.Duration // the time of the part's first packet
	closed  bool          // the part's file is closed
	waiting bool          // video, but no key frame yet
	updated time.Time     // when the file was last told its own length
	reason  error         // why it ended; set by run

	mu      sync.Mutex // guards all below
	facts   Facts
	writing fs.FileInfo   // the part's file as it was made
	grown   chan struct{} // closed, and made anew, when facts say more
}

// part is one file that is written.
type part struct {
	file   file
	made   fs.FileInfo
	tail   *tail
	writer *flv.FileWriter
}

func newRecording(log *slog.Logger) *recording {
	return &recording{log: log, queue: newQueue(), begun: make(chan struct{}), done: make(chan struct{}), grown: make(chan struct{})}
}

// newPart writes the beginning of a file.
func newPart(f file, facts *Facts, s *stream.Stream) (part, error) {
	t := &tail{file: f}
	w, err := flv.NewFileWriter(t, flv.FileOptions{
		Tracks: s.Tracks(), Metadata: s.Metadata(), CodecMetadata: s.CodecMetadata(), Properties: facts.properties(),
	})
	if err == nil {
		err = t.show()
	}
	var made fs.FileInfo
	if err == nil {
		made, err = f.Stat()
	}
	if err != nil {
		return part{}, fmt.Errorf("writing the beginning: %w", err)
	}
	return part{f, made, t, w}, nil
}

// next makes the file of the next part and writes its beginning. Nothing is
// left of it after an error.
func (r *recording) next(draft Facts, s *stream.Stream) (part, Facts, error) {
	var p part
	facts, err := r.store.newFile(r.catalog, draft, r.seq+1, func(f file, facts *Facts) (err error) {
		if p, err = newPart(f, facts, s); err == nil {
			facts.Bytes = p.writer.Info().Size
		}
		return err
	})
	return p, facts, err
}

// use goes on with a part.
func (r *recording) use(p part, facts Facts) {
	r.part, r.empty, r.closed = p, true, false
	r.seq++
	r.mu.Lock()
	r.facts, r.writing = facts, p.made
	r.mu.Unlock()
	r.count(p.writer.Info())
}

// writes returns the facts, and the file that they speak of as it was made.
func (r *recording) writes() (Facts, fs.FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts, r.writing
}

// snapshot returns the facts as they are now. A recording waits while its
// stream does.
func (r *recording) snapshot() Facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.facts
	if f.State == Running {
		f.miss(r.queue.missing(false))
		if r.stream.State() == stream.Reconnecting {
			f.State = Reconnecting
		}
	}
	return f
}

// records tells whether the recording is one of that stream.
func (r *recording) records(s *stream.Stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts.File != "" && r.stream == s
}

// count takes over how much the file holds.
func (r *recording) count(info flv.FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		r.session.AddBytes(info.Size - r.facts.Bytes)
	}
	r.facts.Bytes, r.facts.DurationMs = info.Size, info.Duration.Milliseconds()
	close(r.grown)
	r.grown = make(chan struct{})
}

// run writes the file until the queue ends.
func (r *recording) run() {
	defer r.limit()()
	err := r.guard(r.write)
	r.queue.End(err)
	r.detach()
	_, r.reason = r.queue.state()
	finish := r.finish
	switch {
	case r.closed:
		finish = func() error { return nil }
	case err != nil:
		finish = r.salvage
	case errors.Is(r.reason, errNoRoom), errors.Is(r.reason, errRemoved):
		err = r.reason
	}
	if also := r.guard(finish); err == nil {
		err = also
	}
	r.settle(err)
	if err != nil {
		r.reason = err
	}
	r.session.End(r.reason)
}

// limit ends the recording when its time is over, unless it is called off
// before.
func (r *recording) limit() (off func()) {
	if r.until.IsZero() {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(r.until), func() { r.queue.End(errElapsed) })
	return func() { timer.Stop() }
}

// guard turns a panic into an error, so that it costs one recording and not
// the process.
func (r *recording) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("recovered from a panic", "stream", r.facts.StreamPath, "err", v, "stack", string(debug.Stack()))
			err = session.ErrInternal
		}
	}()
	return f()
}

func (r *recording) write() error {
	var spare []*media.Packet
	for atOnce := r.holds(flushEvery); ; atOnce = false {
		if !atOnce {
			r.queue.wait(flushEvery)
		}
		batch, ended := r.queue.take(spare)
		if err := r.writeBatch(batch); err != nil {
			return err
		}
		r.queue.written(batch)
		spare = batch
		if ended {
			return nil
		}
	}
}

// holds tells whether the stream held so much when the recording began that
// it can be put in order without what comes next.
func (r *recording) holds(length time.Duration) bool {
	n := len(r.window)
	return n > 0 && r.window[n-1].DTS-r.window[0].DTS >= length
}

func (r *recording) writeBatch(batch []*media.Packet) error {
	packets := batch
	if r.window != nil || r.waiting {
		packets = r.beginning(slices.Concat(r.window, batch))
		r.window = nil
	}
	if slices.ContainsFunc(packets, r.cuts) {
		inOrder(packets) // sound from before the cut belongs there
	}
	for _, p := range packets {
		if r.cuts(p) {
			if err := r.cut(); err != nil {
				return err
			}
		}
		err := r.writer.Write(p)
		if r.empty {
			r.empty, r.first = false, p.DTS
		}
		if errors.Is(err, flv.ErrFileFull) {
			r.queue.End(errFull)
			break
		}
		if err == nil && r.tail.len() >= maxWrite {
			err = r.flush()
		}
		if err != nil {
			return fmt.Errorf("writing the file: %w", err)
		}
	}
	if err := r.flush(); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	r.count(r.writer.Info())
	return r.update()
}

// flush writes the tags that wait. The first of a file are one write with its
// beginning, which has their duration and index: the file has both from the first
// byte of media on.
func (r *recording) flush() error {
	if r.empty {
		return nil
	}
	if r.tail.shown > 0 {
		if err := r.writer.Update(); err != nil {
			return err
		}
	}
	return r.tail.flush()
}

// update brings what the file says of itself up to what has been written,
// unless that was done just before.
func (r *recording) update() error {
	now := time.Now()
	if now.Sub(r.updated) < flushEvery/2 {
		return nil
	}
	r.updated = now
	if err := r.writer.Update(); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	return nil
}

// beginning returns where the packets of a recording begin: at the first key
// frame if there is video. They are put in the order of their times, since the
// file's clock starts with its first packet and sound that lies before the
// picture comes behind it in some streams.
func (r *recording) beginning(packets []*media.Packet) []*media.Packet {
	if r.waiting {
		at := slices.IndexFunc(packets, isKey)
		if at < 0 {
			return nil
		}
		packets, r.waiting = packets[at:], false
	}
	inOrder(packets)
	return packets
}

// inOrder puts packets in the order of their times.
func inOrder(packets []*media.Packet) {
	slices.SortStableFunc(packets, func(a, b *media.Packet) int { return cmp.Compare(a.DTS, b.DTS) })
}

// finish makes the file complete and waits for the disk.
func (r *recording) finish() error {
	err := r.writer.Finish()
	if err == nil {
		err = r.tail.flush() // of a file without media
	}
	if err == nil {
		err = r.file.Sync()
	}
	r.closed = true
	if also := r.file.Close(); err == nil {
		err = also
	}
	if err != nil {
		return fmt.Errorf("finishing the file: %w", err)
	}
	return nil
}

// salvage makes the best of a file that could not be written to its end.
func (r *recording) salvage() error {
	info, err := repair(r.file, r.tail.end())
	if err == nil {
		r.count(info)
	}
	return errors.Join(err, r.file.Close())
}

// settle writes down how it ended. An error is why it failed.
func (r *recording) settle(err error) {
	state := Finished
	if err != nil {
		state = Failed
	}
	r.mu.Lock()
	r.facts.miss(r.queue.missing(true))
	r.facts.end(state, time.Now(), err)
	close(r.grown)
	r.grown = make(chan struct{})
	facts := r.facts
	r.mu.Unlock()
	if facts.Gaps > 0 {
		r.log.Warn("the disk was too slow for a recording", "stream", facts.StreamPath, "file", facts.File, "gaps", facts.Gaps, "lost_ms", facts.LostMs)
	}
	if err := r.catalog.update(facts); err != nil {
		r.log.Error("the catalogue does not know how a recording ended", "stream", facts.StreamPath, "file", facts.File, "err", err)
	}
}

var _ stream.Tap = (*queue)(nil)
