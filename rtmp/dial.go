package rtmp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// Dialer connects clients. The zero value is ready, and believes in the
// certificates that the system believes in.
type Dialer struct {
	// TLS is for URLs of rtmps; nil means the defaults. The name of the server
	// is that of the URL where it says none.
	TLS *tls.Config
}

// Dial connects to the server and application of u. ctx covers that alone.
func Dial(ctx context.Context, u URL) (*Client, error) { return Dialer{}.Dial(ctx, u) }

// Dial connects to the server and application of u. ctx covers that alone.
func (d Dialer) Dial(ctx context.Context, u URL) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var conn net.Conn
	var err error
	if u.TLS {
		conn, err = (&tls.Dialer{Config: d.TLS}).DialContext(ctx, "tcp", u.Host)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("dialing %s: %w", u.Host, err)
	}
	c, err := NewClient(ctx, conn, u)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}
