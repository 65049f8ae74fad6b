package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/flvtest"
	"sluice/test/harness"
)

func TestStreamsPassThroughNginxAsItComes(t *testing.T) {
	s := harness.Start(t)
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/nginx"))
	addr := harness.Nginx(t, "location / { proxy_pass http://"+s.HTTP+"; }")

	comesBack(t, src, "http://"+addr+"/flv/live/nginx.flv?wait=30s")
	file := filepath.Join(t.TempDir(), "output.flv")
	harness.Output(t, nil, "ffmpeg", "-v", "error", "-t", "2", "-i", "http://"+addr+"/flv/live/nginx.flv", "-c", "copy", file)
	sees(t, src, file)
}

// TestStreamsPassThroughNginxAsDocumented takes the configuration from the
// documentation.
func TestStreamsPassThroughNginxAsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(flvtest.Root(t), "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindSubmatch(page)
	if m == nil || !strings.Contains(string(m[1]), "127.0.0.1:8080") {
		t.Fatal("docs/operate.md shows no configuration of nginx")
	}
	s := harness.Start(t)
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/nginx"))
	addr := harness.Nginx(t, strings.ReplaceAll(string(m[1]), "127.0.0.1:8080", s.HTTP))

	for _, scheme := range []string{"http", "ws"} {
		comesBack(t, src, scheme+"://"+addr+"/flv/live/nginx.flv?wait=30s")
		comesBack(t, src, scheme+"://"+addr+"/flv/live/nginx?wait=30s")
	}
}
