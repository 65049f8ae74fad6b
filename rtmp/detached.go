package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
)

// MaxPushed bounds what a client may have under way on a [Detached]
// connection: a chunk that is not whole, and all messages that are not.
const MaxPushed = 64 << 10

// Detached is the server's end of a connection that neither reads nor writes:
// its owner hands it what the client sent and sends what it returns. So no
// goroutine has to wait for clients that hardly ever say anything, and what
// they are sent can be made once for all of them: every message that Detached
// returns has a full header, and so must have those that the owner sends in
// between, in chunks of [ServerChunkSize].
//
// It is safe for concurrent use.
type Detached struct {
	mu      sync.Mutex // guards all below
	c       *ServerConn
	pending []byte       // the beginning of a chunk
	src     bytes.Reader // one whole chunk for c
	out     []byte       // what is to be sent
}

// Detach makes a Detached of the connection, which itself is of no use after
// that. A request that is not answered yet is answered there. It belongs to the
// goroutine of [ServerConn.Next], while no other one uses the connection.
func (c *ServerConn) Detach() *Detached {
	d := &Detached{c: c}
	early, _ := c.r.in.Peek(c.r.in.Buffered()) // it is buffered: no error
	d.pending = bytes.Clone(early)
	c.split = nil
	c.r.in, c.r.most, c.r.whole = bufio.NewReaderSize(&d.src, 16), MaxPushed, true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w = &Writer{w: (*outlet)(d), chunk: c.w.chunk, full: true}
	return d
}

// outlet gathers what a detached connection has to say. Its caller holds the
// mutex.
type outlet Detached

func (o *outlet) Write(p []byte) (int, error) {
	o.out = append(o.out, p...)
	return len(p), nil
}

// taken returns what is to be sent.
func (d *Detached) taken() []byte {
	out := d.out
	d.out = nil
	return out
}

// Input takes what the client sent, which may be nothing at first: what had
// been read before [ServerConn.Detach] is looked at then. It returns what to
// answer; ended tells that the client has ended its play. After an error,
// an [ErrProtocol] or [ErrLimit], the connection is of no further use.
func (d *Detached) Input(b []byte) (reply []byte, ended bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending = append(d.pending, b...)
	rest := d.pending
	for err == nil && !ended {
		n, whole := d.c.r.measure(rest)
		if !whole {
			if n > MaxPushed {
				err = fmt.Errorf("a chunk of %d bytes: %w", n, ErrLimit)
			}
			break
		}
		ended, err = d.take(rest[:n])
		rest = rest[n:]
	}
	switch len(rest) {
	case len(d.pending): // the chunk goes on to arrive
	case 0:
		d.pending = nil
	default:
		d.pending = bytes.Clone(rest)
	}
	return d.taken(), ended, err
}

// take handles one whole chunk.
func (d *Detached) take(chunk []byte) (ended bool, err error) {
	d.src.Reset(chunk)
	m, whole, err := d.c.r.step()
	if err != nil || !whole {
		return false, noEOF(err)
	}
	ev, err := d.c.handle(m)
	if err == nil {
		err = d.c.flush()
	}
	return ev.Kind == Ended, err
}

// measure returns the length of the chunk that b begins with, and whether all
// of it is there; else the length is as far as it can be known.
func (r *Reader) measure(b []byte) (n int, whole bool) {
	if len(b) == 0 {
		return 1, false
	}
	format, id, n := b[0]>>6, uint32(b[0]&0x3f), 1
	switch {
	case id < 2 && len(b) < 2+int(id):
		return 2 + int(id), false
	case id == 0:
		id, n = 64+uint32(b[1]), 2
	case id == 1:
		id, n = 64+uint32(binary.LittleEndian.Uint16(b[1:])), 3
	}
	head := b[n:]
	n += [...]int{11, 7, 3, 0}[format]
	if len(b) < n {
		return n, false
	}
	var cs chunkStream
	if known := r.streams[id]; known != nil {
		cs = *known
	}
	left := cs.length - cs.got
	if format < 2 {
		left = uint24(head[3:]) // a begun message is refused when the chunk is read
	}
	switch {
	case format == 3 && cs.ext:
		want := binary.BigEndian.AppendUint32(nil, cs.extValue)
		switch there := b[n:min(n+4, len(b))]; {
		case !bytes.HasPrefix(want, there): // left out, see [Reader.extendedThere]
		case len(there) < 4:
			return n + 4, false
		default:
			n += 4
		}
	case format < 3 && uint24(head) == extended:
		n += 4
	}
	n += int(min(r.chunk, left))
	return n, len(b) >= n
}

// Accept returns the answer to the play that was asked for.
func (d *Detached) Accept() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.c.Accept()
	return d.taken(), err
}

// Stream returns the message stream that the client plays on, or asked to.
func (d *Detached) Stream() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.c.asked.kind != 0 {
		return d.c.asked.stream
	}
	return d.c.roleID
}

// Refuse returns an error as the answer to the play that was asked for.
func (d *Detached) Refuse(code, description string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.c.Refuse(code, description)
	return d.taken(), err
}

// Finish returns what tells the client that the stream which it plays is over.
func (d *Detached) Finish() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.c.roleID
	d.c.send(UserControl{Event: EventStreamEOF, Value: id}.Message())
	d.c.status(id, levelStatus, CodePlayUnpublished, "The stream is over")
	err := d.c.flush()
	return d.taken(), err
}

// Fail returns what tells the client that its play ends with an error.
func (d *Detached) Fail(code, description string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.c.Fail(code, description)
	return d.taken(), err
}
