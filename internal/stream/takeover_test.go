package stream_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
)

// holder is a publisher with a key, and why others have ended it.
type holder struct {
	*stream.Publisher
	replaced []error
}

func hold(t *testing.T, r *stream.Registry, key string) *holder {
	t.Helper()
	h := &holder{}
	h.Publisher = claim(t, r, stream.Claim{Key: key, Replaced: func(reason error) { h.replaced = append(h.replaced, reason) }})
	return h
}

func TestTheSameKeyReplacesAPublisherThatStillSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		old := hold(t, r, "secret")
		write(t, old.Publisher, avcConfig(1), aacConfig(1), key(0), aac(0), inter(40))
		s := find(t, r)
		v := tap(t, s)
		next := hold(t, r, "secret")
		if len(old.replaced) != 1 || !errors.Is(old.replaced[0], stream.ErrReplaced) {
			t.Errorf("the old one was told %v", old.replaced)
		}
		write(t, next.Publisher, avcConfig(1), aacConfig(1), key(0), aac(0))

		// What comes late from the old one changes nothing.
		if err := old.Write(key(80)); !errors.Is(err, stream.ErrReplaced) {
			t.Errorf("Write() of the old one = %v", err)
		}
		old.End(stream.ErrUnpublished)
		if old.Lose(errCable) || !errors.Is(old.Err(), stream.ErrReplaced) {
			t.Errorf("the old one is held, or ended with %v", old.Err())
		}
		pass(time.Minute)
		if find(t, r) != s || s.Err() != nil || len(next.replaced) != 0 {
			t.Errorf("the stream is another one, or ended: %v", s.Err())
		}
		if diff := cmp.Diff([]string{"key 0", "audio 0", "video 40", "key 80", "audio 80"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestWithoutTheKeyOnlyASilentPublisherIsReplaced(t *testing.T) {
	for name, keys := range map[string][2]string{
		"no keys": {"", ""}, "another key": {"a", "b"}, "no key against one": {"a", ""}, "a key against none": {"", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				old := hold(t, r, keys[0])
				write(t, old.Publisher, avcConfig(1), aacConfig(1), key(0), aac(0))
				s := find(t, r)
				pass(4 * time.Second)
				write(t, old.Publisher, inter(4000))
				pass(5*time.Second - time.Millisecond)
				write(t, old.Publisher, script(9000)) // no audio or video
				if _, err := r.Claim(path, stream.Claim{Key: keys[1]}); !errors.Is(err, stream.ErrBusy) {
					t.Fatalf("Claim() error = %v, want ErrBusy", err)
				}
				pass(time.Millisecond)
				next := hold(t, r, keys[1])
				write(t, next.Publisher, avcConfig(1), aacConfig(1), key(0), aac(0))
				if len(old.replaced) != 1 || find(t, r) != s {
					t.Errorf("told %v; the stream is another one: %v", old.replaced, find(t, r) != s)
				}
			})
		})
	}
}

func TestTwoEncodersThatShareAKeyDoNotReplaceEachOtherForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		last := hold(t, r, "secret")
		for range 3 {
			pass(2 * time.Second)
			last = hold(t, r, "secret")
		}
		pass(2 * time.Second)
		if _, err := r.Claim(path, stream.Claim{Key: "secret"}); !errors.Is(err, stream.ErrShared) {
			t.Fatalf("the fourth takeover in 8 s: %v, want ErrShared", err)
		}
		if len(last.replaced) != 0 {
			t.Errorf("the one that stays was told %v", last.replaced)
		}
		pass(24 * time.Second) // 30 s behind the first takeover
		hold(t, r, "secret")
		if len(last.replaced) != 1 {
			t.Error("it is not replaced half a minute later")
		}
		if _, err := r.Claim(path, stream.Claim{Key: "secret"}); !errors.Is(err, stream.ErrShared) {
			t.Errorf("one more: %v, want ErrShared", err)
		}
	})
}

func TestAReplacedPublisherWithoutAWindowEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, err := r.Claim(path, stream.Claim{Key: "a"})
		if err != nil {
			t.Fatal(err)
		}
		write(t, p, avcConfig(1), aacConfig(1), key(0), aac(0))
		s := find(t, r)
		hold(t, r, "a")
		if !errors.Is(s.Err(), stream.ErrReplaced) {
			t.Errorf("the stream ended with %v", s.Err())
		}
	})
}
