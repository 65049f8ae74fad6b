package record

import (
	"cmp"
	"errors"
	"fmt"
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

// errFull ends a recording at the longest time that a file can express.
var errFull error = session.NewReason("file_full", "the file has reached the longest time that its format can express")

// recording is one recording from the moment that it is asked for. Its file is
// written by one goroutine, which owns what no lock guards.
type recording struct {
	log   *slog.Logger
	queue *queue
	begun chan struct{} // closed when it is known whether it could begin
	done  chan struct{} // closed when nothing of it is left

	// Set before begun is closed.
	startErr error
	stream   *stream.Stream
	file     file
	tail     *tail
	writer   *flv.FileWriter
	catalog  *catalog
	session  *session.Session
	window   []*media.Packet // what the stream held when it began
	detach   func()

	waiting bool      // video, but no key frame yet
	updated time.Time // when the file was last told its own length

	mu    sync.Mutex // guards facts
	facts Facts
}

func newRecording(log *slog.Logger) *recording {
	return &recording{log: log, queue: newQueue(), begun: make(chan struct{}), done: make(chan struct{})}
}

// open writes the beginning of the file.
func (r *recording) open(f file, facts Facts, c *catalog, s *stream.Stream) error {
	t := &tail{file: f}
	w, err := flv.NewFileWriter(t, flv.FileOptions{Tracks: s.Tracks(), Metadata: s.Metadata(), CodecMetadata: s.CodecMetadata()})
	if err == nil {
		err = t.flush()
	}
	if err != nil {
		return fmt.Errorf("writing the beginning: %w", err)
	}
	r.stream, r.file, r.tail, r.writer, r.catalog, r.facts = s, f, t, w, c, facts
	r.waiting = s.HasVideo()
	r.count(w.Info())
	return nil
}

// snapshot returns the facts as they are now. A recording waits while its
// stream does.
func (r *recording) snapshot() Facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.facts
	if f.State == Running && r.stream.State() == stream.Reconnecting {
		f.State = Reconnecting
	}
	return f
}

// count takes over how much the file holds.
func (r *recording) count(info flv.FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		r.session.AddBytes(info.Size - r.facts.Bytes)
	}
	r.facts.Bytes, r.facts.DurationMs = info.Size, info.Duration.Milliseconds()
}

// run writes the file until the queue ends.
func (r *recording) run() {
	err := r.guard(r.write)
	r.queue.End(err)
	r.detach()
	_, reason := r.queue.state()
	if err == nil && errors.Is(reason, errSlow) {
		err = reason
	}
	finish := r.finish
	if err != nil {
		finish = r.salvage
	}
	if also := r.guard(finish); err == nil {
		err = also
	}
	r.settle(err)
	if err != nil {
		reason = err
	}
	r.session.End(reason)
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
	for {
		r.queue.wait(flushEvery)
		batch, ended := r.queue.take(spare)
		if err := r.writeBatch(batch); err != nil {
			return err
		}
		spare = batch
		if ended {
			return nil
		}
	}
}

func (r *recording) writeBatch(batch []*media.Packet) error {
	packets := batch
	if r.window != nil || r.waiting {
		packets = r.beginning(slices.Concat(r.window, batch))
		r.window = nil
	}
	for _, p := range packets {
		err := r.writer.Write(p)
		if errors.Is(err, flv.ErrFileFull) {
			r.queue.End(errFull)
			break
		}
		if err == nil && r.tail.len() >= maxWrite {
			err = r.tail.flush()
		}
		if err != nil {
			return fmt.Errorf("writing the file: %w", err)
		}
	}
	if err := r.tail.flush(); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	r.count(r.writer.Info())
	return r.update()
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
		at := slices.IndexFunc(packets, func(p *media.Packet) bool { return p.Kind == media.Video && p.Key && p.Track == 0 })
		if at < 0 {
			return nil
		}
		packets, r.waiting = packets[at:], false
	}
	slices.SortStableFunc(packets, func(a, b *media.Packet) int { return cmp.Compare(a.DTS, b.DTS) })
	return packets
}

// finish makes the file complete and waits for the disk.
func (r *recording) finish() error {
	err := r.writer.Finish()
	if err == nil {
		err = r.file.Sync()
	}
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
	info, err := repair(r.file, r.tail.size)
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
	r.facts.end(state, time.Now(), err)
	facts := r.facts
	r.mu.Unlock()
	if err := r.catalog.update(facts); err != nil {
		r.log.Error("the catalogue does not know how a recording ended", "stream", facts.StreamPath, "file", facts.File, "err", err)
	}
}

var _ stream.Tap = (*queue)(nil)
