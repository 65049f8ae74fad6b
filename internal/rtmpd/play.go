package rtmpd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sluice/internal/doors"
	"sluice/internal/fanout"
	"sluice/internal/module"
	"sluice/internal/rendition"
	"sluice/internal/session"
	"sluice/rtmp"
)

// theatre is what all players share.
type theatre struct {
	hub     *rendition.Hub
	sweeper *fanout.Sweeper
	waiting *doors.Doors // of players without a stream
}

// newTheatre returns a theatre in which one address, unless it is trusted, may
// have half of those who wait: nobody keeps all others out.
func newTheatre(cfg PlayConfig, trusted []netip.Prefix, d module.Deps) *theatre {
	return &theatre{
		waiting: doors.New(doors.Limits{Most: cfg.MaxWaiting, MostPending: (cfg.MaxWaiting + 1) / 2, Trusted: trusted}),
		hub: rendition.NewHub(rendition.Options{
			Pace:   fanout.Pace{Auto: true},
			MaxLag: cfg.MaxLag.D(),
			Memory: int64(cfg.StreamMemory),
		}, d.Log),
		sweeper: fanout.NewSweeper(cfg.WriteTimeout.D()),
	}
}

// run serves the players until none is left: done is called when there come no
// more and returns when the last one has gone.
func (t *theatre) run(ctx context.Context, done func()) {
	// The sweeper works to the end: it cuts off those that are stuck.
	sweep, stop := context.WithCancel(context.WithoutCancel(ctx))
	var sweeping sync.WaitGroup
	sweeping.Go(func() { t.sweeper.Run(sweep) })
	defer sweeping.Wait()
	defer stop()
	done()
	t.hub.Close()
}

// player is a connection that plays. From its play command on it is read by
// pieces: by a goroutine while it waits for its stream, then by the sweeper.
//
//	play ─▶ waiting for a publisher ─▶ fanout.Viewer ─▶ farewell
type player struct {
	*conn
	said *rtmp.Detached
}

// play serves a player to the end of its connection and returns the reason.
func (c *conn) play(ctx context.Context, name string) error {
	a, err := c.ask(name)
	if err != nil {
		return c.refuse(rtmp.CodePlayFailed, err)
	}
	p := &player{conn: c, said: c.rtmp.Detach()}
	rend, err := p.rendition(ctx, a)
	if err == nil {
		defer rend.Release()
		return p.watch(rend, a)
	}
	code := rtmp.CodePlayFailed
	if errors.Is(err, session.ErrNotLive) {
		code = rtmp.CodePlayNotFound
	}
	if answer, failed := p.said.Refuse(code, plain(err)); failed == nil {
		_, failed = c.Write(answer)
		c.told = failed == nil
	}
	return err
}

// rendition waits for the stream and takes the rendition that was asked for.
func (p *player) rendition(ctx context.Context, a ask) (*rendition.Rendition, error) {
	a.Spec.Stream = uint8(p.said.Stream()) //nolint:gosec // at most rtmp.MaxMessageStreams
	if err := p.hear(nil); err != nil {
		return nil, err
	}
	if s := p.deps.Streams.Find(a.path); s != nil {
		rend, err := p.players.hub.Acquire(s, a.Spec)
		if err == nil || errors.Is(err, rendition.ErrNoTrack) {
			return rend, noTrack(err)
		}
		// It ended just now; another one may follow.
	}
	place, err := p.players.waiting.Enter(p.RemoteAddr())
	switch {
	case errors.Is(err, doors.ErrFull):
		return nil, fmt.Errorf("%w: rtmp.play.max_waiting is %d", session.ErrTooMany, p.cfg.Play.MaxWaiting)
	case err != nil:
		return nil, fmt.Errorf("%w of this address, which may have half of rtmp.play.max_waiting", session.ErrTooMany)
	}
	defer place.Leave()
	p.guest.Settle()
	return p.await(ctx, a)
}

// await is the wait of a player whose stream is not there, but for one that
// hangs up meanwhile.
func (p *player) await(ctx context.Context, a ask) (*rendition.Rendition, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.Wait, fmt.Errorf("%w %s", session.ErrNotLive, a.path))
	defer cancel()
	ctx, leave := context.WithCancelCause(ctx)
	defer p.listen(ctx, leave)()
	for {
		s, err := p.deps.Streams.Wait(ctx, a.path)
		if err != nil {
			return nil, err
		}
		rend, err := p.players.hub.Acquire(s, a.Spec)
		switch {
		case err == nil, errors.Is(err, rendition.ErrNoTrack):
			return rend, noTrack(err)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
	}
}

func noTrack(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", session.ErrNoTrack, err)
}

// listen reads what the client says while it waits, and calls leave when it
// has left, or is ended from outside. stop ends the reading and returns when
// that is done.
func (p *player) listen(ctx context.Context, leave func(error)) (stop func()) {
	p.deadline(time.Time{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				leave(p.recovered(ctx, v))
			}
		}()
		buf := make([]byte, 512)
		for {
			n, err := p.Conn.Read(buf)
			if err == nil || n > 0 {
				err = errors.Join(p.hear(buf[:n]), err)
			}
			if err != nil {
				leave(p.why(err))
				return
			}
		}
	})
	return func() {
		p.deadline(time.Now())
		wg.Wait()
	}
}

// deadline sets when reading ends, unless it has to end now.
func (c *conn) deadline(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		_ = c.SetReadDeadline(at) // on a closed connection reading tells
	}
}

// hear takes what the client said and answers it.
func (p *player) hear(b []byte) error {
	reply, ended, err := p.said.Input(b)
	if len(reply) > 0 {
		_, failed := p.Write(reply)
		err = errors.Join(err, failed)
	}
	if ended && err == nil {
		return ErrLeft
	}
	return err
}

// watch makes the connection a viewer, and serves it to its end.
func (p *player) watch(rend *rendition.Rendition, a ask) (reason error) {
	accepted, err := p.said.Accept()
	if err != nil {
		return err
	}
	pos, first, _ := rend.Begin(a.Join)
	v := fanout.NewViewer(p.Conn, rend.Log())
	v.First, v.Begin = append([][]byte{accepted}, first...), pos
	v.Peer, v.Farewell, v.Linger = peer{p.said}, p.goodbye, lingerTimeout
	sess := p.deps.Sessions.Open(session.Info{
		Role: session.Viewer, Proto: p.proto, Stream: rend.Stream().Path(), Remote: p.remote,
	}, v.Kick)
	v.Count = sess
	defer func() {
		if reason == nil {
			reason = session.ErrInternal // on its way out in a panic
		}
		sess.End(reason)
		p.ended = reason
	}()
	p.hand(v)
	p.guest.Leave() // as the viewers of HTTP, it does not count
	return p.players.sweeper.Serve(v)
}

// hand lets the viewer have the connection: whoever wants to end it from now
// on has to tell the viewer.
func (c *conn) hand(v *fanout.Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		v.Kick(c.cause)
	}
	c.viewer = v
	_ = c.SetDeadline(time.Time{}) // on a closed connection writing tells
}

// goodbye returns what a player is told at its end.
func (p *player) goodbye(reason error) []byte {
	var last []byte
	switch {
	case errors.Is(reason, ErrLeft):
	case slices.ContainsFunc(thrownOut(), func(r error) bool { return errors.Is(reason, r) }):
		last, _ = p.said.Fail(rtmp.CodePlayFailed, plain(reason)) // it has no connection that could fail
	default:
		last, _ = p.said.Finish() // likewise
	}
	return last
}

// thrownOut are the reasons for which a player ends though its stream goes on.
func thrownOut() []error {
	return []error{
		session.ErrKicked, session.ErrInternal, fanout.ErrInternal, fanout.ErrFlood, fanout.ErrLagged, fanout.ErrStalled,
		rtmp.ErrProtocol, rtmp.ErrLimit,
	}
}

// peer hears what a player says while it plays.
type peer struct{ *rtmp.Detached }

// Input implements [fanout.Peer].
func (p peer) Input(b []byte) (reply []byte, err error) {
	reply, ended, err := p.Detached.Input(b)
	if ended && err == nil {
		err = ErrLeft
	}
	return reply, err
}

// Tick implements [fanout.Peer]. Players are not pinged: the kernel asks whether
// they are there.
func (p peer) Tick(time.Time) (send []byte, err error) { return nil, nil }
