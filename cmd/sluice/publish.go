package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"sluice/flv"
	"sluice/internal/demo"
	"sluice/rtmp"
)

type publishCmd struct {
	File string `arg:"" help:"FLV file."`
	URL  string `arg:"" help:"Where to publish: rtmp://host/app/name, or rtmps://."`
	Loop bool   `help:"Publish the file again and again."`

	Insecure bool `help:"Do not look at the certificate of an rtmps:// server."`
}

// Run publishes the file.
func (c publishCmd) Run(ctx context.Context, w *world) error {
	u, err := rtmp.ParseURL(c.URL)
	if err != nil {
		return usageError{err}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	// Say so before a server hears of it.
	if _, err := flv.NewReader(f).Header(); err != nil {
		return fmt.Errorf("%s is no FLV file: %w", c.File, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	dialer := rtmp.Dialer{TLS: &tls.Config{InsecureSkipVerify: c.Insecure}} //nolint:gosec // on demand
	err = publish(ctx, dialer, f, u, c.Loop, func() { fmt.Fprintf(w.stderr, "publishing %s to %s\n", c.File, u) })
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s is cut off; what there is of it was published", c.File)
	}
	return err
}

// publish publishes src to u in real time, until its end, or until ctx is
// done. It calls begun when the server has agreed.
func publish(ctx context.Context, dialer rtmp.Dialer, src io.ReadSeeker, u rtmp.URL, loop bool, begun func()) error {
	c, err := dialer.Dial(ctx, u)
	if err == nil {
		if err = c.Publish(ctx); err != nil {
			c.Close()
		}
	}
	switch {
	case stopped(ctx):
		return nil
	case err != nil:
		return fmt.Errorf("publishing to %s: %w", u, err)
	}
	begun()

	play, end := context.WithCancelCause(ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		err := c.Wait()
		if errors.Is(err, io.EOF) {
			err = errors.New("it closed the connection")
		}
		end(fmt.Errorf("the server ended it: %w", err))
	})
	err = demo.Play(play, src, sink{c}, demo.Options{Loop: loop})
	_ = c.Unpublish() // a server that is gone needs no farewell
	c.Close()
	reader.Wait()
	if stopped(ctx) {
		return nil
	}
	return err
}

// stopped tells whether the user has had enough, which is no failure.
func stopped(ctx context.Context) bool { return ctx.Err() != nil }

// sink is a client as [demo.Play] knows it.
type sink struct{ *rtmp.Client }

// WriteTag implements [demo.Sink].
func (s sink) WriteTag(typ uint8, dts time.Duration, body []byte) error {
	return s.Client.WriteTag(typ, uint32(dts.Milliseconds()), body)
}
