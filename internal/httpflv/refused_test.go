package httpflv_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/httpflv"
	"sluice/internal/session"
)

func TestRefusedViewersAreCountedByReason(t *testing.T) {
	s := newServer(t, func(c *httpflv.Config) { c.MaxWaiting = 1 })
	s.live(t, "live/test", "h264_only.flv")
	socket := []string{"Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	conn, _ := s.raw(t, "GET /flv/live/none?wait=60s HTTP/1.1", "Host: x")
	eventually(t, "it waits", func() bool { return s.module.Waiting() == 1 })
	problem(t, get(t, s.URL+"/flv/live/none?wait=60s"), http.StatusServiceUnavailable)
	conn.Close()
	eventually(t, "its place is free", func() bool { return s.module.Waiting() == 0 })
	for path, status := range map[string]int{
		"live/none?wait=0s":   http.StatusNotFound,
		"live/test?video=off": http.StatusUnsupportedMediaType,
		"live/test?join=edgy": http.StatusBadRequest,
		"live/../test":        http.StatusBadRequest,
	} {
		for _, lines := range [][]string{{"Host: x"}, socket} {
			_, r := s.raw(t, append([]string{"GET /flv/" + path + " HTTP/1.1"}, lines...)...)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			problem(t, resp, status)
			resp.Body.Close()
		}
	}
	do(t, http.MethodHead, s.URL+"/flv/live/none") // is no viewer

	want := map[session.End]int64{
		{Proto: "http-flv", Reason: "too_many_connections"}: 1,
		{Proto: "http-flv", Reason: "peer_gone"}:            1,
	}
	for _, proto := range []string{"http-flv", "ws-flv"} {
		for reason, n := range map[string]int64{"not_live": 1, "no_track": 1, "bad_query": 1, "bad_path": 1} {
			want[session.End{Proto: proto, Reason: reason}] = n
		}
	}
	eventually(t, "all are counted", func() bool { return len(s.sessions.Ends()) >= len(want) })
	if diff := cmp.Diff(want, s.sessions.Ends()); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestARefusedUpgradeIsCounted(t *testing.T) {
	s := newServer(t)
	_, r := s.raw(t, "GET /flv/live/test HTTP/1.1", "Host: x", "Upgrade: h2c", "Connection: Upgrade", "Sec-WebSocket-Key: "+strings.Repeat("x", 24))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	problem(t, resp, http.StatusBadRequest)
	if n := s.sessions.Ends()[session.End{Proto: "ws-flv", Reason: "bad_upgrade"}]; n != 1 {
		t.Errorf("counted %v", s.sessions.Ends())
	}
}
