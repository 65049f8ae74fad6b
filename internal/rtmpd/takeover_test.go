package rtmpd_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/flv"
	"sluice/internal/rtmpd"
	"sluice/internal/stream"
	"sluice/rtmp"
)

func TestCase060SecondPublisherIsRefusedAndTheFirstUnaffectedOrReplaced(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := open(t, rtmpd.DefaultConfig(), nil)
			first := encoder(t, h, "cam1")
			s := first.live(t, h, "live/cam1")
			w := watch(t, s)
			second := shake(t, h.dial("127.0.0.1:50001"))
			second.connect(t, "live")
			code, text := second.publish(t, "cam1?token=other")
			if code != rtmp.CodePublishBadName || !strings.Contains(text, "published already") {
				t.Errorf("the second is answered with %q, %q", code, text)
			}
			second.send(t, rtmp.TypeAudio, 0, []byte{0x72, 0xbb})
			if took := second.closed(); took > time.Second {
				t.Errorf("the second is closed after %v", took)
			}
			before := len(w.all())
			first.send(t, rtmp.TypeAudio, 5000, sound())
			synctest.Wait()
			if s.Err() != nil || len(w.all()) != before+1 {
				t.Errorf("the first: %v, and %d packets", s.Err(), len(w.all())-before)
			}
			if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"bad_name"}) {
				t.Errorf("reasons %q, want bad_name", got)
			}

			<-time.After(5 * time.Second) // in which the first one is silent
			third := encoder(t, h, "cam1")
			if third.live(t, h, "live/cam1") != s || s.Err() != nil {
				t.Errorf("viewers do not go on with the third one: %v", s.Err())
			}
			first.closed()
			if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{"replaced"}) {
				t.Errorf("reasons %q, want replaced", got)
			}
		})
	})
	// RTMP has no keys yet: those who share one are within the process, the player is not.
	t.Run("replaced by who has its key", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := open(t, rtmpd.DefaultConfig(), nil)
			told := make(chan error, 1)
			claim := stream.Claim{Key: "secret", Window: 10 * time.Second, Replaced: func(reason error) { told <- reason }}
			first := claimSource(t, h, claim)
			s := h.deps.Streams.Find("live/cam1")
			c := playPipe(t, h)
			first.write(t, picture(false, 11)) // it still sends
			readPicture(t, c, picture(false, 11))

			claim.Replaced = nil
			second := claimSource(t, h, claim)
			if reason := <-told; !errors.Is(reason, stream.ErrReplaced) {
				t.Errorf("the first was told %v", reason)
			}
			if err := first.Write(flv.ParseVideo(picture(true, 12))); !errors.Is(err, stream.ErrReplaced) {
				t.Errorf("the first writes on: %v", err)
			}
			second.write(t, picture(false, 22))
			readPicture(t, c, picture(false, 22))
			if h.deps.Streams.Find("live/cam1") != s || s.Err() != nil || len(h.log.lines(t, "session ended")) > 0 {
				t.Errorf("the player does not go on with the same stream: %v", s.Err())
			}
		})
	})
}

// readPicture reads tags up to a picture, which comes before the end.
func readPicture(t *testing.T, c *rtmp.Client, want []byte) {
	t.Helper()
	for {
		_, _, body, err := c.ReadTag()
		if err != nil {
			t.Fatalf("before picture %x: %v", want, err)
		}
		if bytes.Equal(body, want) {
			return
		}
	}
}
