package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"sluice/flv"
	"sluice/rtmp"
)

// Player is a viewer of a stream by RTMP, which has been let in.
type Player struct{ client *rtmp.Client }

// PlayRTMP opens a stream by RTMP, or RTMPS without a look at the certificate.
// It ends with the test.
func PlayRTMP(tb testing.TB, address string) *Player {
	tb.Helper()
	u, err := rtmp.ParseURL(address)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	d := rtmp.Dialer{TLS: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test made the certificate
	c, err := d.Dial(ctx, u)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if err := c.Play(ctx); err != nil {
		tb.Fatalf("playing %s: %v", address, err)
	}
	return &Player{c}
}

// Next returns the next message as a tag. The error is [io.EOF] when the
// server says that the stream is over.
func (p *Player) Next() (flv.Tag, error) {
	typ, ms, body, err := p.client.ReadTag()
	return flv.Tag{Type: typ, DTS: time.Duration(ms) * time.Millisecond, Body: body}, err
}

// Rest returns all messages that are left, to an end that has to be clean.
func (p *Player) Rest(tb testing.TB) []flv.Tag {
	tb.Helper()
	var tags []flv.Tag
	for {
		tag, err := p.Next()
		if errors.Is(err, io.EOF) {
			return tags
		}
		if err != nil {
			tb.Fatalf("behind %d messages: %v", len(tags), err)
		}
		tags = append(tags, tag)
	}
}

// SecureRTMP returns the arguments with which a server listens by RTMPS too.
func SecureRTMP(cert, key string) []string {
	return []string{"--set", "rtmp.tls.listen=127.0.0.1:0", "--set", "rtmp.tls.cert=" + cert, "--set", "rtmp.tls.key=" + key}
}

// PushTLS returns the URL at which a path is published and played by RTMPS, of
// a server that was started with [SecureRTMP].
func (s *Server) PushTLS(tb testing.TB, path string) string {
	tb.Helper()
	return "rtmps://" + s.Address(tb, "rtmps") + "/" + path
}
