package rtmp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"sluice/amf0"
)

// Time limits of a client.
const (
	dialTimeout  = 10 * time.Second // for connecting, and for publishing
	writeTimeout = 10 * time.Second // for one tag
	closeTimeout = time.Second      // for the server's last words
)

// clientAgent is what a client calls itself: servers look for an encoder.
const clientAgent = "FMLE/3.0 (compatible; Sluice)"

// setDataFrame begins a data message that servers are to keep for later
// viewers, and metadata begins the one that they should.
const (
	setDataFrame = "\x02\x00\x0d@setDataFrame"
	metadata     = "\x02\x00\x0aonMetaData"
)

// Client is the client's end of a connection that publishes, or plays (see
// [Client.Play]). Publish, WriteTag, Unpublish and Close belong to one
// goroutine, [Client.Wait] may run in another.
type Client struct {
	conn   net.Conn
	url    URL
	r      *Reader
	acks   *AckCounter
	stream uint32
	calls  int // transactions so far

	reading sync.Mutex // held by whoever reads; locked before mu

	mu     sync.Mutex // guards all below
	w      *Writer
	failed error // what the server said when it ended this
}

// NewClient shakes hands on conn and connects to the application of u. When it
// fails conn is still the caller's; else it belongs to the client. ctx covers
// the call alone.
func NewClient(ctx context.Context, conn net.Conn, u URL) (*Client, error) {
	c := &Client{conn: conn, url: u, acks: NewAckCounter(0), w: NewWriter(conn)}
	err := c.within(ctx, func() error {
		in := bufio.NewReaderSize(conn, bufferSize)
		if err := ClientHandshake(in, conn, 0, rand.Reader, Simple); err != nil {
			return fmt.Errorf("shaking hands: %w", err)
		}
		c.r = NewReader(in)
		c.r.OnReceive(c.acknowledge)
		return c.connect()
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// within calls f, which is to end within the time limit, or when ctx does.
func (c *Client) within(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return c.until(ctx, f)
}

func (c *Client) acknowledge(received uint64) error {
	seq, due := c.acks.Due(received)
	if !due {
		return nil
	}
	return c.write(Control(TypeAck, seq))
}

func (c *Client) write(ms ...Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Write(ms...)
}

// call makes the message of a command. Its values are of types that can be
// encoded.
func (c *Client) call(stream uint32, name string, args ...any) Message {
	c.calls++
	body, err := amf0.AppendAll(nil, append([]any{name, c.calls}, args...)...)
	if err != nil {
		body = nil // a server says what it thinks of that
	}
	return Message{Type: TypeCommand, StreamID: stream, ChunkStream: callStream, Body: body}
}

func (c *Client) connect() error {
	call := c.call(0, cmdConnect, amf0.Object{
		{Key: "app", Value: c.url.App},
		{Key: "type", Value: "nonprivate"},
		{Key: "flashVer", Value: clientAgent},
		{Key: "swfUrl", Value: c.url.TCURL()},
		{Key: "tcUrl", Value: c.url.TCURL()},
	})
	if err := c.write(Control(TypeSetChunkSize, ServerChunkSize), call); err != nil {
		return err
	}
	_, err := c.await(cmdConnect, c.calls)
	return err
}

// Publish begins to publish what the URL names. A refusal is a [*StatusError].
// It comes before Wait, which would take the server's answers away. ctx covers
// the call alone.
func (c *Client) Publish(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return c.within(ctx, c.publish)
}

func (c *Client) publish() error {
	err := c.create(c.call(0, cmdRelease, nil, c.url.Name), c.call(0, cmdFCPublish, nil, c.url.Name))
	if err != nil {
		return err
	}
	if err := c.write(c.call(c.stream, cmdPublish, nil, c.url.Name, "live")); err != nil {
		return err
	}
	return c.begun(cmdPublish, CodePublishStart)
}

// create makes the message stream, behind what is said before.
func (c *Client) create(before ...Message) error {
	if err := c.write(append(before, c.call(0, cmdCreate, nil))...); err != nil {
		return err
	}
	created, err := c.await(cmdCreate, c.calls)
	if err != nil {
		return err
	}
	id, ok := created.streamID(1)
	if !ok {
		return fmt.Errorf("result of createStream without a number: %w", ErrProtocol)
	}
	c.stream = id
	return nil
}

// begun waits for the status that says that what was asked for begins.
func (c *Client) begun(asked, code string) error {
	for {
		cmd, err := c.read()
		if err != nil {
			return err
		}
		if property(cmd.properties(1), "code") == code && cmd.name == cmdStatus {
			return nil
		}
		if err := refusal(cmd, asked); err != nil {
			return err
		}
	}
}

// await returns the result of a call.
func (c *Client) await(name string, tid int) (command, error) {
	for {
		cmd, err := c.read()
		if err != nil {
			return command{}, err
		}
		switch {
		case cmd.name == cmdResult && cmd.tid == float64(tid):
			return cmd, nil
		case cmd.name == cmdError && cmd.tid == float64(tid):
			return command{}, statusError(name, cmd.properties(1))
		}
		if err := refusal(cmd, name); err != nil {
			return command{}, err
		}
	}
}

// refusal returns the error that a server reports with a status.
func refusal(cmd command, asked string) error {
	info := cmd.properties(1)
	switch {
	case cmd.name == cmdStatus && property(info, "level") == levelError:
		return statusError(asked, info)
	case cmd.name == "close":
		return &StatusError{Command: asked, Code: "close"}
	}
	return nil
}

// read returns the next command of the server and passes over what is none.
func (c *Client) read() (command, error) {
	for {
		m, err := c.next()
		if err != nil {
			return command{}, err
		}
		if m.Type == TypeCommand || m.Type == TypeCommandAMF3 {
			return parseCommand(m)
		}
	}
}

// next returns the next message of the server, and does what it asks for on the
// way.
func (c *Client) next() (Message, error) {
	m, err := c.r.Next()
	if err != nil {
		return m, err
	}
	switch m.Type {
	case TypeWindowAckSize:
		if window, err := m.ControlValue(); err == nil {
			c.acks.SetWindow(window)
		}
	case TypeUserControl:
		u, err := ParseUserControl(m.Body)
		if err == nil && u.Event == EventPingRequest {
			return m, c.write(UserControl{Event: EventPingResponse, Value: u.Value}.Message())
		}
	}
	return m, nil
}

// Wait reads what the server says until it ends the connection, and returns
// why: a [*StatusError], or the end of the connection. Without it nobody
// answers the server's pings; after [Client.Close] it returns.
func (c *Client) Wait() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		cmd, err := c.read()
		if err == nil {
			err = refusal(cmd, "")
		}
		if err == nil {
			continue
		}
		if said := c.failure(); said != nil {
			return said
		}
		if _, ok := errors.AsType[*StatusError](err); ok {
			c.mu.Lock()
			c.failed = err
			c.mu.Unlock()
		}
		return err
	}
}

func (c *Client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// WriteTag sends the body of an FLV tag: [TypeAudio], [TypeVideo] or
// [TypeData], with the time in milliseconds modulo 2^32. Metadata is marked for
// the server to keep. When the connection breaks, the error is what the server
// said last, if it said anything.
func (c *Client) WriteTag(typ uint8, timestamp uint32, body []byte) error {
	m := Message{Type: typ, StreamID: c.stream, ChunkStream: 4, Timestamp: timestamp, Body: body}
	switch {
	case typ == TypeVideo:
		m.ChunkStream = 6
	case typ == TypeData && bytes.HasPrefix(body, []byte(metadata)):
		m.Body = append([]byte(setDataFrame), body...)
	}
	if err := c.failure(); err != nil {
		return err
	}
	return c.writeSoon(m)
}

// writeSoon writes within the time limit.
func (c *Client) writeSoon(ms ...Message) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if err := c.write(ms...); err != nil {
		return c.explain(err)
	}
	return nil
}

// explain looks for the server's reason behind a failed write.
func (c *Client) explain(err error) error {
	_ = c.conn.SetReadDeadline(time.Now().Add(closeTimeout)) // a broken connection is read without it
	_ = c.Wait()                                             // failure has it
	if said := c.failure(); said != nil {
		return said
	}
	return err
}

// Unpublish tells the server that the stream is over.
func (c *Client) Unpublish() error {
	return c.writeSoon(
		c.call(0, cmdFCUnpublish, nil, c.url.Name),
		c.call(0, cmdDelete, nil, c.stream),
	)
}

// Close ends the connection after it has given the server a moment to take
// what was sent.
func (c *Client) Close() error {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() == nil && c.conn.SetReadDeadline(time.Now().Add(closeTimeout)) == nil {
		c.reading.Lock()
		_, _ = io.Copy(io.Discard, c.conn) // the connection ends whatever comes
		c.reading.Unlock()
	}
	return c.conn.Close()
}
