package rtmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// What a client that plays asks for.
const (
	liveOrFile = -2000                  // of play: what is live, or else a file
	bufferTime = 300 * time.Millisecond // nobody goes by it
)

// sampleAccess begins a data message about rights, which is no data of the
// stream.
const sampleAccess = "\x02\x00\x11|RtmpSampleAccess"

// Play begins to play what the URL names; [Client.ReadTag] then returns it, in
// the same goroutine. A refusal is a [*StatusError]. Servers may wait for a
// publisher before they answer: ctx bounds that, and covers the call alone.
func (c *Client) Play(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("playing: %w", err)
	}
	return c.until(ctx, func() error {
		if err := c.create(); err != nil {
			return err
		}
		length := UserControl{Event: EventSetBufferLength, Value: c.stream, Extra: uint32(bufferTime.Milliseconds())}
		if err := c.write(c.call(c.stream, cmdPlay, nil, c.url.Name, liveOrFile), length.Message()); err != nil {
			return err
		}
		return c.begun(cmdPlay, CodePlayStart)
	})
}

// ReadTag returns the next audio, video or data message of what is played as
// the body of an FLV tag, with its time in milliseconds modulo 2^32. The error
// is [io.EOF] when the server says that the stream is over, and
// [io.ErrUnexpectedEOF] when it closes the connection without a word.
func (c *Client) ReadTag() (typ uint8, timestamp uint32, body []byte, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		m, err := c.next()
		if err != nil {
			return 0, 0, nil, noEOF(err)
		}
		switch m.Type {
		case TypeAudio, TypeVideo:
			return m.Type, m.Timestamp, m.Body, nil
		case TypeData:
			if !bytes.HasPrefix(m.Body, []byte(sampleAccess)) {
				return m.Type, m.Timestamp, m.Body, nil
			}
		case TypeCommand, TypeCommandAMF3:
			if err := played(m); err != nil {
				return 0, 0, nil, err
			}
		}
	}
}

// played returns the error with which a command ends what is played.
func played(m Message) error {
	cmd, err := parseCommand(m)
	if err != nil {
		return err
	}
	switch code := property(cmd.properties(1), "code"); {
	case cmd.name != cmdStatus:
	case code == CodePlayStop, code == CodePlayUnpublished:
		return io.EOF
	}
	return refusal(cmd, "")
}

// until calls f, which is to end when ctx does.
func (c *Client) until(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) }) // f finds out
	err := f()
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}
