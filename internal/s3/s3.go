// Package s3 puts files into S3-compatible storage and makes sure that what
// lies there is what was put; it also tells what lies there. It knows one bucket.
//
//	file ──parts, each with its CRC-32C──▶ storage
//	  └───CRC-32C of all of it ──compared──┘ what the storage says that it holds
//
// A file of up to one part is one request; a larger one is a multipart upload.
// Nothing of it is kept in memory. An upload that is cut off leaves nothing
// that could be taken for the whole; the next one removes its remains.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/time/rate"
)

const (
	// maxKeyFile bounds what is read of a file with a key.
	maxKeyFile = 4096
	// maxTries is how often one request is sent; longer outages are for the
	// caller, who knows what else there is to do.
	maxTries = 3
	// signedFor is how long a signed address is good for. A download that has
	// begun may take longer.
	signedFor = time.Hour
	// burst is how many bytes are sent at once where the rate is limited.
	burst = 32 << 10
	// writeTimeout ends a connection that takes nothing for that long.
	writeTimeout = 30 * time.Second
)

var (
	// ErrKeys reports that the files with the keys cannot be used.
	ErrKeys = errors.New("s3: the keys cannot be read")
	// ErrMissing reports that the storage has no such object.
	ErrMissing = errors.New("s3: there is no such object")
	// ErrDiffers reports that the storage holds something else than was put.
	ErrDiffers = errors.New("s3: the storage does not hold what was sent")
)

// Options say where the bucket is. All but Region and Rate are needed.
type Options struct {
	Endpoint *url.URL // scheme http or https, host and port; no path
	Region   string   // empty: the storage is asked, or us-east-1
	Bucket   string   // must exist
	// AccessKeyFile and SecretKeyFile are read anew for each request, so that
	// keys can be replaced while the server runs.
	AccessKeyFile, SecretKeyFile string
	Rate                         int64 // bytes a second for all uploads together; 0 is without a limit
}

// Bucket is one bucket of a storage. It is safe for concurrent use.
type Bucket struct {
	name      string
	core      *minio.Core
	transport *http.Transport
	rate      *rate.Limiter
}

// Open returns the bucket, without asking the storage anything. An error is
// about the options, or wraps [ErrKeys].
func Open(o Options) (*Bucket, error) {
	keys := &keyFiles{access: o.AccessKeyFile, secret: o.SecretKeyFile}
	if _, err := keys.Retrieve(); err != nil {
		return nil, err
	}
	secure := o.Endpoint.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("preparing requests: %w", err)
	}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return timedConn{c}, nil
	}
	core, err := minio.NewCore(o.Endpoint.Host, &minio.Options{
		Creds:           credentials.New(keys),
		Secure:          secure,
		Region:          o.Region,
		Transport:       transport,
		TrailingHeaders: true,
		MaxRetries:      maxTries,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing requests: %w", err)
	}
	b := &Bucket{name: o.Bucket, core: core, transport: transport, rate: rate.NewLimiter(rate.Inf, 0)}
	if o.Rate > 0 {
		b.rate = rate.NewLimiter(rate.Limit(o.Rate), burst)
	}
	return b, nil
}

// timedConn is a connection whose peer must take what is written.
type timedConn struct{ net.Conn }

// Write implements [net.Conn].
func (c timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close ends the connections that are kept for further requests.
func (b *Bucket) Close() { b.transport.CloseIdleConnections() }

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.name }

// Remove deletes an object and what an upload that was cut off has left of it.
// It is no error if there is none.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	if err := b.core.RemoveIncompleteUpload(ctx, b.name, key); err != nil && !errors.Is(explain(err), ErrMissing) {
		return fmt.Errorf("removing the rest of an upload: %w", explain(err))
	}
	err := explain(b.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}))
	if err != nil && !errors.Is(err, ErrMissing) {
		return fmt.Errorf("removing the object: %w", err)
	}
	return nil
}

// Sign returns an address from which anybody can fetch the object for an hour
// with that method, GET or HEAD. The storage need not be there for that.
func (b *Bucket) Sign(ctx context.Context, method, key string) (string, error) {
	u, err := b.core.Presign(ctx, method, b.name, key, signedFor, nil)
	if err != nil {
		return "", fmt.Errorf("signing an address: %w", explain(err))
	}
	return u.String(), nil
}

// explain returns what the storage answered with its code, which tells more
// than most of its sentences do.
func explain(err error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[minio.ErrorResponse](err)
	switch {
	case !ok:
		return err
	case answer.Code == minio.NoSuchKey, answer.Code == minio.NoSuchUpload:
		return fmt.Errorf("%w (%s)", ErrMissing, answer.Code)
	case answer.Code == "":
		return fmt.Errorf("status %d: %w", answer.StatusCode, err)
	}
	return fmt.Errorf("%s: %w", answer.Code, err)
}

// keyFiles reads the keys from their files whenever they are needed.
type keyFiles struct{ access, secret string }

// RetrieveWithCredContext implements [credentials.Provider].
func (k *keyFiles) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return k.Retrieve()
}

// Retrieve implements [credentials.Provider].
func (k *keyFiles) Retrieve() (credentials.Value, error) {
	access, err := readKey(k.access)
	if err != nil {
		return credentials.Value{}, err
	}
	secret, err := readKey(k.secret)
	if err != nil {
		return credentials.Value{}, err
	}
	return credentials.Value{AccessKeyID: access, SecretAccessKey: secret, SignerType: credentials.SignatureV4}, nil
}

// IsExpired implements [credentials.Provider].
func (k *keyFiles) IsExpired() bool { return true }

func readKey(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKeys, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKeys, err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("%w: %s must hold one line with the key", ErrKeys, name)
	}
	return key, nil
}
