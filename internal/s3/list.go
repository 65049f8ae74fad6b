package s3

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

// Object is what a listing tells of an object.
type Object struct {
	Key      string
	Size     int64     // in bytes
	Modified time.Time // when it was put
}

// List calls found for each object whose key begins with prefix, in pages of
// up to 1,000, until found returns an error, which is List's then. What it is
// given is from outside: a key can be anything.
func (b *Bucket) List(ctx context.Context, prefix string, found func(Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return fmt.Errorf("listing the bucket: %w", explain(o.Err))
		}
		if err := found(Object{Key: o.Key, Size: o.Size, Modified: o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Head returns the first n bytes of an object, all of one that has fewer. The
// error wraps [ErrMissing] if there is none.
func (b *Bucket) Head(ctx context.Context, key string, n int64) ([]byte, error) {
	var options minio.GetObjectOptions
	if err := options.SetRange(0, n-1); err != nil {
		return nil, fmt.Errorf("asking for the first %d bytes: %w", n, err)
	}
	body, _, _, err := b.core.GetObject(ctx, b.name, key, options)
	if err != nil {
		return nil, fmt.Errorf("reading an object: %w", explain(err))
	}
	defer body.Close()
	head, err := io.ReadAll(io.LimitReader(body, n)) // whatever it answers
	if err != nil {
		return nil, fmt.Errorf("reading an object: %w", explain(err))
	}
	return head, nil
}
