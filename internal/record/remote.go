package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"sluice/internal/conf"
	"sluice/internal/s3"
)

// S3Config is the part "record.s3" of the configuration.
type S3Config struct {
	Endpoint      string    `yaml:"endpoint" doc:"S3-compatible storage that finished recordings are uploaded to: https://HOST, or http://HOST:PORT without TLS. Empty: recordings stay on the disk."`
	Region        string    `yaml:"region" doc:"Region of the bucket. Empty: the storage is asked for it."`
	Bucket        string    `yaml:"bucket" doc:"Bucket for the recordings, which must exist."`
	Prefix        string    `yaml:"prefix" doc:"Folder within the bucket, such as studio/a. Servers that share a bucket need one each."`
	AccessKeyFile string    `yaml:"access_key_file" doc:"File with the access key. It is read again for each request."`
	SecretKeyFile string    `yaml:"secret_key_file" doc:"File with the secret key. It is read again for each request."`
	KeepLocal     KeepLocal `yaml:"keep_local" doc:"Whether the file stays on the disk when the storage has it: true, false, or for how long, such as 24h."`
	Rate          conf.Size `yaml:"rate" doc:"How many bytes a second all uploads together may send; 0 is without a limit."`
}

// KeepLocal is how long a file stays on the disk that has been uploaded:
// "true" (for good), "false", or a duration. The zero value is "false".
type KeepLocal struct {
	ForGood bool
	For     time.Duration
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *KeepLocal) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true":
		*k = KeepLocal{ForGood: true}
		return nil
	case "false":
		*k = KeepLocal{}
		return nil
	}
	var d conf.Duration
	if err := d.UnmarshalText(text); err != nil {
		return fmt.Errorf("neither true nor false nor a duration: %w", err)
	}
	*k = KeepLocal{For: d.D()}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (k KeepLocal) MarshalText() ([]byte, error) {
	switch {
	case k.ForGood:
		return []byte("true"), nil
	case k.For == 0:
		return []byte("false"), nil
	}
	return conf.Duration(k.For).MarshalText()
}

// validate reports all mistakes.
func (c S3Config) validate() (errs []error) {
	if c.Endpoint == "" {
		if c.Bucket != "" {
			errs = append(errs, errors.New("s3.endpoint: needed with s3.bucket"))
		}
		return errs
	}
	if _, err := c.endpoint(); err != nil {
		errs = append(errs, fmt.Errorf("s3.endpoint: %w", err))
	}
	for _, key := range []struct{ name, value string }{
		{"bucket", c.Bucket}, {"access_key_file", c.AccessKeyFile}, {"secret_key_file", c.SecretKeyFile},
	} {
		if key.value == "" {
			errs = append(errs, fmt.Errorf("s3.%s: needed with s3.endpoint", key.name))
		}
	}
	if strings.ContainsFunc(c.Prefix, func(r rune) bool { return !storable(r) && r != '/' }) || strings.Contains(c.Prefix, "//") {
		errs = append(errs, fmt.Errorf("s3.prefix: %q is no folder", c.Prefix))
	}
	return errs
}

// endpoint returns the address of the storage.
func (c S3Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be https://HOST or http://HOST:PORT, without anything behind that")
	}
	return u, nil
}

// origin returns that of the storage, as a browser writes it.
func (c S3Config) origin() string {
	u, err := c.endpoint()
	if err != nil { // it was checked
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// open returns the bucket, nil where none is configured.
func (c S3Config) open() (*s3.Bucket, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	u, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	return s3.Open(s3.Options{
		Endpoint: u, Region: c.Region, Bucket: c.Bucket,
		AccessKeyFile: c.AccessKeyFile, SecretKeyFile: c.SecretKeyFile, Rate: int64(c.Rate),
	})
}

// key returns the name of a recording's object.
func (c S3Config) key(file string) string {
	if p := strings.Trim(c.Prefix, "/"); p != "" {
		return p + "/" + file
	}
	return file
}

// bucket is where files are uploaded to.
type bucket interface {
	shelf
	// Name returns the bucket's name.
	Name() string
	// Put returns when the storage has said by size and checksum that it has
	// the file; it sends nothing if that is so already.
	Put(ctx context.Context, key string, file io.ReaderAt, size int64) error
	// Remove deletes an object, which may be gone or not whole.
	Remove(ctx context.Context, key string) error
	// Sign returns an address at which everybody can fetch the object for some
	// time.
	Sign(ctx context.Context, method, key string) (string, error)
	Close()
}

// RemoteState tells how far the upload of a recording is.
type RemoteState string

// The states of an upload.
const (
	Waiting   RemoteState = "waiting" // for its next attempt
	Uploading RemoteState = "uploading"
	Stored    RemoteState = "stored" // and verified
)

// Remote is where a recording is besides the disk, or instead of it. It is
// never changed, only replaced.
type Remote struct {
	State    RemoteState `json:"state"`
	Bucket   string      `json:"bucket"`
	Key      string      `json:"key"`
	Local    bool        `json:"local"`    // the file is on the disk still
	StoredAt *time.Time  `json:"storedAt"` // nil before that
	Attempts int         `json:"attempts"` // that have failed, since the last one that has not
	NextAt   *time.Time  `json:"nextAt"`   // of the next attempt, nil for at once
	Error    string      `json:"error"`    // why the last attempt failed
}

// away tells whether the file lies in the storage alone.
func (f *Facts) away() bool { return f.Remote != nil && f.Remote.State == Stored && !f.Remote.Local }

// onDisk tells whether the file lies in the folder, unless somebody took it
// away.
func (f *Facts) onDisk() bool { return f.Remote == nil || f.Remote.Local }

// due returns when there is something to do for an upload. ok is false for
// never.
func (f *Facts) due(keep KeepLocal) (at time.Time, ok bool) {
	if f.busy() || (f.State != Finished && f.State != Recovered) {
		return time.Time{}, false
	}
	r := f.Remote
	switch {
	case r == nil:
		return time.Time{}, true
	case f.away() || (r.State == Stored && keep.ForGood):
		return time.Time{}, false
	case r.State == Stored && r.StoredAt != nil:
		return r.StoredAt.Add(keep.For), true
	case r.NextAt != nil:
		return *r.NextAt, true
	}
	return time.Time{}, true
}

// What there is to do for a recording, besides nothing.
const (
	workUpload = iota // it is not in the storage
	workDrop          // its local copy can go, some time after the upload
)

// work returns what there is to do, and since when in milliseconds of the
// epoch, as the catalogue looks for it; nil for nothing. [Facts.due] decides.
func (f *Facts) work() (work, at any) {
	r := f.Remote
	switch {
	case (f.State != Finished && f.State != Recovered) || f.away():
		return nil, nil
	case r == nil:
		return workUpload, 0
	case r.State == Stored && r.StoredAt != nil:
		return workDrop, r.StoredAt.UnixMilli()
	case r.NextAt != nil:
		return workUpload, r.NextAt.UnixMilli()
	}
	return workUpload, 0
}
