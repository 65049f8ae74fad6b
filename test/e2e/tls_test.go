package e2e_test

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"sluice/flv"
	"sluice/internal/tlsfile/tlstest"
	"sluice/test/harness"
)

func TestStreamsAreWatchedOverHTTPSAndHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, trust := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, "--set", "http.tls.listen=127.0.0.1:0", "--set", "http.tls.cert="+cert, "--set", "http.tls.key="+key)
	_, addr, found := strings.Cut(s.WaitLine(t, "listening", "proto=https"), "addr=")
	if !found {
		t.Fatal("the log does not say where HTTPS is")
	}
	url := "https://" + addr + "/flv/live/tls.flv"
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/tls"))
	comesBack(t, src, s.Play("http", "live/tls?wait=30s"))

	t.Run("ffmpeg", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "output.flv")
		harness.Output(t, nil, "ffmpeg", "-v", "error", "-t", "2", "-i", url, "-c", "copy", file)
		sees(t, src, file)
	})
	t.Run("HTTP 2", func(t *testing.T) {
		t.Parallel()
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true} //nolint:gosec // a client of today
		t.Cleanup(tr.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.Proto != "HTTP/2.0" || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", resp.Proto, resp.Status)
		}
		tags := flv.NewReader(bufio.NewReader(resp.Body))
		if h, err := tags.Header(); err != nil || !h.Video {
			t.Fatalf("the header is %+v, %v", h, err)
		}
		for range 100 {
			if _, err := tags.Next(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
