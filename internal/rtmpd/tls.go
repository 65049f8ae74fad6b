package rtmpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"sluice/internal/tlsfile"
)

// The protocols in the list of sessions.
const (
	protoPlain = "rtmp"
	protoTLS   = "rtmps"
)

// noTLS is what a client is told that speaks TLS to the plain port: a fatal
// alert, "handshake failure" (RFC 8446, chapter 6), which clients understand
// before any version is agreed on.
const noTLS = "\x15\x03\x01\x00\x02\x02\x28"

// secure is the listener with TLS.
type secure struct {
	net.Listener
	config *tls.Config
}

func listenTLS(ctx context.Context, cfg TLSConfig, log *slog.Logger) (*secure, error) {
	cert, err := tlsfile.Load(cfg.Cert, cfg.Key, log)
	if err != nil {
		return nil, fmt.Errorf("rtmp.tls.%w", err)
	}
	ln, err := listen(ctx, "rtmp.tls.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	return &secure{ln, cert.Config()}, nil // RTMP has no name among the protocols of TLS
}

// shakeTLS shakes hands where the connection has TLS.
func (c *conn) shakeTLS(ctx context.Context) error {
	s, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	err := s.HandshakeContext(ctx)
	var netErr net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF), errors.As(err, &netErr), ctx.Err() != nil:
		return c.why(err)
	}
	return fmt.Errorf("%w: %w", ErrTLS, err)
}
