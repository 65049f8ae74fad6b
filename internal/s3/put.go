package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/time/rate"
)

const (
	// partSize is the size of a part, unless maxParts of it are too few.
	partSize = 16 << 20
	// maxParts is how many parts S3 allows.
	maxParts = 10_000
	fileType = "video/x-flv"

	// The storage is asked to compute and to keep a CRC-32C of the whole file,
	// also of one that comes in parts.
	crcHeader       = "x-amz-checksum-crc32c"
	algorithmHeader = "x-amz-checksum-algorithm"
	modeHeader      = "x-amz-checksum-type"
	ofWhole         = "FULL_OBJECT"
)

// Put makes file, of that size, the object key, and returns when the storage
// has said by size and checksum that it holds just that. If it does already,
// nothing is sent. The file must not change meanwhile. An error wraps
// [ErrDiffers] if the storage holds something else.
func (b *Bucket) Put(ctx context.Context, key string, file io.ReaderAt, size int64) error {
	want, err := sumFile(ctx, file, size)
	if err != nil {
		return err
	}
	if b.verify(ctx, key, file, want) == nil {
		return nil
	}
	if size > want.part {
		err = b.putParts(ctx, key, file, want)
	} else {
		err = b.putWhole(ctx, key, file, want)
	}
	if err != nil {
		return fmt.Errorf("uploading: %w", explain(err))
	}
	if err := b.verify(ctx, key, file, want); err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	return nil
}

// sums is what the storage must say of a file.
type sums struct {
	size, part int64
	crc        string   // of the file, as the storage writes it
	parts      []string // the same of the parts, one at least
}

// sumFile reads a file once.
func sumFile(ctx context.Context, file io.ReaderAt, size int64) (sums, error) {
	s := sums{size: size, part: max(partSize, (size+maxParts-1)/maxParts)}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	all := crc32.New(castagnoli)
	err := eachPart(ctx, file, size, s.part, func(part io.Reader) error {
		one := crc32.New(castagnoli)
		_, err := io.Copy(io.MultiWriter(all, one), part)
		s.parts = append(s.parts, encode(one))
		return err
	})
	s.crc = encode(all)
	return s, err
}

// etag returns the ETag that S3 gives a file which was sent like that.
func etag(ctx context.Context, file io.ReaderAt, s sums) (string, error) {
	var parts []byte
	err := eachPart(ctx, file, s.size, s.part, func(part io.Reader) error {
		one := md5.New()
		_, err := io.Copy(one, part)
		parts = one.Sum(parts)
		return err
	})
	if len(s.parts) == 1 {
		return hex.EncodeToString(parts), err
	}
	sum := md5.Sum(parts)
	return hex.EncodeToString(sum[:]) + "-" + strconv.Itoa(len(s.parts)), err
}

// eachPart reads a file part by part, one at least.
func eachPart(ctx context.Context, file io.ReaderAt, size, part int64, read func(io.Reader) error) error {
	for off := int64(0); off < size || off == 0; off += part {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		in := io.NewSectionReader(file, off, min(part, size-off))
		err := read(in)
		if at, _ := in.Seek(0, io.SeekCurrent); err == nil && at != in.Size() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("reading the file: %w", err)
		}
	}
	return nil
}

func encode(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }

// verify asks the storage what it holds. A storage that keeps no checksum is
// taken by its word where its ETag is made of MD5, as those of S3 are.
func (b *Bucket) verify(ctx context.Context, key string, file io.ReaderAt, want sums) error {
	info, err := b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return explain(err)
	}
	switch {
	case info.Size != want.size:
		return fmt.Errorf("%w: it has %d bytes instead of %d", ErrDiffers, info.Size, want.size)
	case info.ChecksumCRC32C == want.crc:
		return nil
	case info.ChecksumCRC32C != "":
		return fmt.Errorf("%w: its CRC-32C is %s instead of %s", ErrDiffers, info.ChecksumCRC32C, want.crc)
	}
	tag, err := etag(ctx, file, want)
	if err == nil && !strings.EqualFold(info.ETag, tag) {
		return fmt.Errorf("%w: it gives no CRC-32C, and the ETag %s instead of %s", ErrDiffers, info.ETag, tag)
	}
	return err
}

// putWhole sends a file in one request.
func (b *Bucket) putWhole(ctx context.Context, key string, file io.ReaderAt, want sums) error {
	_, err := b.core.Client.PutObject(ctx, b.name, key, b.body(ctx, file, 0, want.size), want.size, minio.PutObjectOptions{
		ContentType: fileType, DisableMultipart: true, UserMetadata: map[string]string{crcHeader: want.crc},
	})
	return err
}

// putParts sends a file in parts, one after the other. The remains of an
// upload that was cut off are removed before.
func (b *Bucket) putParts(ctx context.Context, key string, file io.ReaderAt, want sums) error {
	if err := b.core.RemoveIncompleteUpload(ctx, b.name, key); err != nil {
		return fmt.Errorf("removing the rest of an upload: %w", err)
	}
	id, err := b.core.NewMultipartUpload(ctx, b.name, key, minio.PutObjectOptions{
		ContentType: fileType, UserMetadata: map[string]string{algorithmHeader: "CRC32C", modeHeader: ofWhole},
	})
	if err != nil {
		return err
	}
	done := make([]minio.CompletePart, 0, len(want.parts))
	for i, crc := range want.parts {
		off := int64(i) * want.part
		n := min(want.part, want.size-off)
		part, err := b.core.PutObjectPart(ctx, b.name, key, id, i+1, b.body(ctx, file, off, n), n,
			minio.PutObjectPartOptions{CustomHeader: http.Header{http.CanonicalHeaderKey(crcHeader): {crc}}})
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(want.parts), err)
		}
		done = append(done, minio.CompletePart{PartNumber: i + 1, ETag: part.ETag, ChecksumCRC32C: crc})
	}
	_, err = b.core.CompleteMultipartUpload(ctx, b.name, key, id, done, minio.PutObjectOptions{
		UserMetadata: map[string]string{crcHeader: want.crc, modeHeader: ofWhole},
	})
	return err
}

// body returns a part of a file for a request, which may send it again.
func (b *Bucket) body(ctx context.Context, file io.ReaderAt, off, n int64) io.Reader {
	return &body{ReadSeeker: io.NewSectionReader(file, off, n), ctx: ctx, rate: b.rate}
}

// body is what one request sends, as fast as the limit allows.
type body struct {
	io.ReadSeeker
	ctx  context.Context //nolint:containedctx // that of the request, which reads it through io.Reader
	rate *rate.Limiter
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	if b.rate.Limit() == rate.Inf {
		return b.ReadSeeker.Read(p)
	}
	n, err := b.ReadSeeker.Read(p[:min(len(p), b.rate.Burst())])
	if wait := b.rate.WaitN(b.ctx, n); wait != nil {
		return 0, wait
	}
	return n, err
}
