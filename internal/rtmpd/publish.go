package rtmpd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sluice/flv"
	"sluice/internal/mend"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
	"sluice/rtmp"
)

// publish makes the client the publisher of a path, or refuses it.
func (c *conn) publish(ctx context.Context, name string) error {
	loc, path, err := c.locate(name)
	if err != nil {
		return c.refuse(rtmp.CodePublishBadName, err)
	}
	if loc.Split {
		c.log.complain(ctx, slog.LevelInfo,
			`the path goes on behind a query: if that was a token, its "/" must be percent-encoded as %2F`,
			"stream", path, "remote", c.remote)
	}
	pub, err := c.deps.Streams.Claim(path, stream.Claim{
		Key:      "", // of access control, once there is any
		Window:   c.cfg.ReconnectWindow.D(),
		Replaced: c.stop,
		Notify:   func(e stream.Event) { c.notice(ctx, path, e) },
	})
	if errors.Is(err, stream.ErrShared) {
		c.log.complain(ctx, slog.LevelWarn, "two encoders share a publish key: give each its own stream path or key",
			"stream", path, "remote", c.remote)
	}
	if err != nil {
		return c.refuse(rtmp.CodePublishBadName, err)
	}
	c.pub = pub
	c.mender = mend.New(func(e mend.Event) { c.noticeMended(ctx, path, e) })
	c.sess = c.deps.Sessions.Open(session.Info{
		Role: session.Publisher, Proto: c.proto, Stream: path, Remote: c.remote,
	}, c.stop)
	c.guest.Settle()
	c.leave = c.clock.Add(c.in)
	c.enter(phase{c.cfg.PublishTimeout.D(), ErrNoMedia})
	return c.rtmp.Accept()
}

// notice logs what happens to the stream of a publisher.
func (c *conn) notice(ctx context.Context, path string, e stream.Event) {
	switch e {
	case stream.Resumed:
		c.deps.Log.InfoContext(ctx, "the stream goes on with its new publisher", "stream", path, "remote", c.remote)
	case stream.Undecodable:
		c.deps.Log.WarnContext(ctx, "frames are left out: the publisher sends no decoder configuration for them",
			"stream", path, "remote", c.remote)
	}
}

// noticeMended logs what a publisher gets wrong.
func (c *conn) noticeMended(ctx context.Context, path string, e mend.Event) {
	log := c.deps.Log.With("stream", path, "remote", c.remote)
	switch e {
	case mend.Derived:
		log.InfoContext(ctx, "the publisher sends no decoder configuration: it is made of what its frames say")
	case mend.StartCodes:
		log.InfoContext(ctx, "the publisher sends start codes in place of lengths: they are replaced")
	case mend.Broken:
		log.WarnContext(ctx, "frames are left out: the publisher sends start codes, and nothing can be made of what is behind them")
	case mend.Unmarked:
		log.WarnContext(ctx, "the publisher does not mark its key frames: they are looked for")
	case mend.Mismarked:
		log.WarnContext(ctx, "the publisher marks frames as key frames that are none: they are taken for others")
	case mend.Resized:
		log.InfoContext(ctx, "the pictures have another size than the publisher's decoder configuration: one is made of what its frames say")
	}
}

// take hands a message to the stream.
func (c *conn) take(m rtmp.Message) error {
	c.packets = flv.AppendPackets(c.packets[:0], m.Type, m.Body)
	c.sess.AddBytes(int64(len(m.Body)))
	if c.packets[0].Kind != media.Data {
		c.enter(phase{c.cfg.IdleTimeout.D(), ErrIdle})
	}
	for _, pkt := range c.packets {
		pkt.DTS = time.Duration(m.Timestamp) * time.Millisecond
		for _, mended := range c.mender.Mend(pkt) {
			if err := c.pub.Write(mended); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends what is being published, if anything is.
func (c *conn) finish(reason error) {
	if c.pub != nil {
		c.pub.End(reason)
		c.endSession()
	}
}

// abandon is finish at the end of the connection: unless it was ended on
// purpose, the publisher may come back.
func (c *conn) abandon(ctx context.Context, reason error) {
	if c.pub == nil {
		return
	}
	if c.isStopped() || errors.Is(reason, session.ErrInternal) {
		c.finish(reason)
		return
	}
	held, path := c.pub.Lose(reason), c.pub.Path()
	c.endSession()
	if held {
		c.deps.Log.InfoContext(ctx, "the stream is held for its publisher", "stream", path, "reason", session.Label(reason),
			"seconds", c.cfg.ReconnectWindow.D().Seconds())
	}
}

// endSession ends the session of a publisher that has ended, for the reason
// that came first.
func (c *conn) endSession() {
	c.leave()
	c.guest.Unsettle()
	reason := c.pub.Err()
	c.sess.End(reason)
	c.pub, c.sess, c.ended = nil, nil, reason
}
