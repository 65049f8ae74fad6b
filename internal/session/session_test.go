package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newList returns a list and the lines of its log.
func newList() (*session.List, *bytes.Buffer) {
	var log bytes.Buffer
	return session.NewList(slog.New(slog.NewJSONHandler(&log, nil))), &log
}

func viewer(stream string) session.Info {
	return session.Info{Role: session.Viewer, Proto: "http-flv", Stream: stream, Remote: "192.0.2.1:5"}
}

func ignore(error) {}

func TestASessionIsOneLineWhenItBeginsAndOneWhenItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list, log := newList()
		s := list.Open(viewer("live/test"), ignore)
		s.AddBytes(40)
		s.AddBytes(2)
		<-time.After(90 * time.Second)
		s.End(session.ErrKicked)
		s.End(session.ErrShutdown)

		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines:\n%s", len(lines), log)
		}
		for i, want := range []map[string]any{
			{"msg": "session began", "role": "viewer", "proto": "http-flv", "stream": "live/test", "remote": "192.0.2.1:5", "session": "1"},
			{
				"msg": "session ended", "role": "viewer", "proto": "http-flv", "stream": "live/test", "remote": "192.0.2.1:5", "session": "1",
				"reason": "kicked", "err": "kicked by an operator", "seconds": 90.0, "bytes": 42.0,
			},
		} {
			var got map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatal(err)
			}
			for k, v := range want {
				if got[k] != v {
					t.Errorf("line %d: %s is %v, want %v", i+1, k, got[k], v)
				}
			}
		}
	})
}

func TestAnEndWithoutAReasonIsDone(t *testing.T) {
	t.Parallel()
	list, log := newList()
	list.Open(viewer("a"), ignore).End(nil)
	if s := log.String(); !strings.Contains(s, `"reason":"done"`) || strings.Contains(s, `"err"`) {
		t.Errorf("log:\n%s", s)
	}
}

func TestTheListKnowsWhatIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		list, _ := newList()
		open := func(role session.Role, stream string) *session.Session {
			<-time.After(time.Second)
			return list.Open(session.Info{Role: role, Stream: stream}, ignore)
		}
		p := open(session.Publisher, "a")
		v1, v2, v3 := open(session.Viewer, "a"), open(session.Viewer, "b"), open(session.Viewer, "a")
		v2.End(nil)

		all := list.All()
		if len(all) != 3 || all[0] != p || all[1] != v1 || all[2] != v3 {
			t.Errorf("open are %v", all)
		}
		ids := map[string]bool{}
		for _, s := range all {
			ids[s.Info().ID] = true
		}
		if len(ids) != 3 {
			t.Errorf("the ids are %v", ids)
		}
		for _, c := range []struct {
			role   session.Role
			stream string
			want   int
		}{
			{session.Viewer, "", 2},
			{session.Viewer, "a", 2},
			{session.Viewer, "b", 0},
			{session.Publisher, "", 1},
			{session.Recording, "a", 0},
		} {
			if got := list.Count(c.role, c.stream); got != c.want {
				t.Errorf("Count(%s, %q) = %d, want %d", c.role, c.stream, got, c.want)
			}
		}
		v1.AddBytes(5)
		if v1.Bytes() != 5 || v3.Bytes() != 0 || v1.Info().Started.IsZero() {
			t.Errorf("facts: %d, %d, %v", v1.Bytes(), v3.Bytes(), v1.Info())
		}
	})
}

func TestKickTellsTheOwnerWhoThenEndsTheSession(t *testing.T) {
	t.Parallel()
	list, log := newList()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := list.Open(viewer("a"), cancel)
	if err := list.Kick(s.Info().ID, session.ErrKicked); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(context.Cause(ctx), session.ErrKicked) || len(list.All()) != 1 {
		t.Errorf("cause %v, open %d", context.Cause(ctx), len(list.All()))
	}
	s.End(context.Cause(ctx))
	if err := list.Kick(s.Info().ID, session.ErrKicked); !errors.Is(err, session.ErrUnknown) {
		t.Errorf("kicking it again: %v", err)
	}
	if len(list.All()) != 0 || !strings.Contains(log.String(), `"reason":"kicked"`) {
		t.Errorf("log:\n%s", log)
	}
}

type labelled struct{}

func (labelled) Error() string  { return "of another package" }
func (labelled) Reason() string { return "bad_name" }

func TestTheLabelOfAnEndIsThatOfTheFirstReasonInItsError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "done"},
		{session.ErrPeerGone, "peer_gone"},
		{fmt.Errorf("reading: %w", session.ErrInternal), "internal_error"},
		{errors.Join(errors.New("x"), labelled{}), "bad_name"},
		{context.Canceled, "shutdown"},
		{fmt.Errorf("waiting: %w", context.Canceled), "shutdown"},
		{errors.New("something else"), "error"},
		{session.NewReason("lagged", "too slow"), "lagged"},
	} {
		if got := session.Label(c.err); got != c.want {
			t.Errorf("Label(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestTheListIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	list := session.NewList(slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 200 {
				s := list.Open(viewer("live/"+strconv.Itoa(g)), ignore)
				s.AddBytes(1)
				list.All()
				list.Count(session.Viewer, "")
				_ = list.Kick(s.Info().ID, session.ErrKicked) // nobody else ends it
				s.End(session.ErrKicked)
			}
		})
	}
	wg.Wait()
	if n := len(list.All()); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func TestEndsAreCountedByReason(t *testing.T) {
	t.Parallel()
	l := session.NewList(slog.New(slog.DiscardHandler))
	for range 2 {
		s := l.Open(session.Info{Role: session.Viewer, Proto: "http-flv"}, nil)
		s.End(fmt.Errorf("reading: %w", session.ErrPeerGone))
		s.End(session.ErrKicked) // too late
	}
	l.Open(session.Info{Role: session.Publisher, Proto: "rtmp"}, nil).End(nil)
	l.Note("rtmp", session.ErrInternal)
	want := map[session.End]int64{
		{Role: session.Viewer, Proto: "http-flv", Reason: "peer_gone"}: 2,
		{Role: session.Publisher, Proto: "rtmp", Reason: "done"}:       1,
		{Proto: "rtmp", Reason: "internal_error"}:                      1,
	}
	got := l.Ends()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	clear(got)
	if len(l.Ends()) != len(want) {
		t.Error("the counters are the caller's")
	}
}
