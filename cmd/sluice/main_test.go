package main_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/flvtest"
	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// sluice runs the binary to its end.
func sluice(t *testing.T, env []string, args ...string) (code int, output string) {
	t.Helper()
	p := harness.Run(t, t.TempDir(), env, harness.Binary(t), args...)
	return p.Wait(t), p.Output()
}

// file writes a file and returns its name.
func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestVersionListsTheModules(t *testing.T) {
	t.Parallel()
	code, out := sluice(t, nil, "version")
	if code != 0 || !strings.HasPrefix(out, "sluice ") || !strings.HasSuffix(out, "\nmodules: rtmp flv record console") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestUsageIsExplainedAndMisuseIsExitCode2(t *testing.T) {
	t.Parallel()
	if code, out := sluice(t, nil, "--help"); code != 0 || !strings.Contains(out, "publish") || !strings.Contains(out, "--config") {
		t.Errorf("--help: %d\n%s", code, out)
	}
	for _, args := range [][]string{
		{"frobnicate"}, {"--frob"}, {"publish"}, {"publish", "only-a-file"}, {"--log-level", "loud"}, {"--log-format", "xml"}, {"--config"},
	} {
		if code, out := sluice(t, nil, args...); code != 2 || !strings.HasPrefix(out, "sluice: ") {
			t.Errorf("%q: %d\n%s", args, code, out)
		}
	}
}

func TestConfigPrintsWhatIsInForceWithoutSecretsAndReadsItAgain(t *testing.T) {
	t.Parallel()
	env := []string{"SLUICE_RTMP_LISTEN=:1936", "SLUICE_HTTP_TOKEN=sesame", "SLUICE_FLV_WAIT=7s", "SLUICE_SERVICE_HOST=10.0.0.1"}
	name := file(t, "mine.yaml", "flv: {wait: 6s, max_lag: 4s}\nrtmp: {listen: ':1', idle_timeout: 11s}\n")
	code, out := sluice(t, env, "config", "--config", name, "--set", "flv.wait=8s", "--log-level", "debug")
	for _, want := range []string{
		"\n  wait: 8s\n", "\n  max_lag: 4s\n", "\n  listen: \":1936\"\n", "\n  idle_timeout: 11s\n", "\n  # token: \"***\"\n", "\n  level: debug\n",
		"sluice: SLUICE_SERVICE_HOST sets nothing: there is no such key\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if code != 0 || strings.Contains(out, "sesame") {
		t.Errorf("%d\n%s", code, out)
	}
	printed := out[strings.Index(out, "http:\n"):]
	code, again := sluice(t, nil, "--config", file(t, "again.yaml", printed), "config")
	again = again[max(0, strings.Index(again, "http:\n")):]
	if want := strings.Replace(printed, "# token: \"***\"", "token: \"\"", 1); code != 0 || again != want {
		t.Errorf("%d: read again it is\n%s", code, again)
	}
}

func TestTheConfigurationReferenceIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(flvtest.Root(t), "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, out := sluice(t, nil, "config", "--reference")
	if code != 0 || strings.TrimSpace(out) != strings.TrimSpace(string(page)) {
		t.Error("docs/configuration.md is out of date: run go generate ./cmd/sluice")
	}
}

func TestAllMistakesAreReportedAtOnceWithTheirPlaces(t *testing.T) {
	t.Parallel()
	name := file(t, "bad.yaml", "flv:\n  enable: perhaps\n  max_lag: 3\n  wiat: 5s\nhttp: {listen: 8080}\n")
	for _, command := range []string{"serve", "config", "demo"} {
		code, out := sluice(t, []string{"SLUICE_LOG_LEVEL=loud"}, command, "--config", name, "--set", "rtmp.listen=nowhere")
		lines := strings.Split(out, "\n")
		if code != 2 || len(lines) != 7 || lines[0] != "sluice: 6 mistakes in the configuration:" {
			t.Errorf("%s: %d\n%s", command, code, out)
		}
		for i, want := range []string{":2:11: flv.enable: ", ":3:12: flv.max_lag: ", ":4:3: flv.wiat: ", ":5:8: http.listen: ", "SLUICE_LOG_LEVEL: log.level: ", "--set rtmp.listen: rtmp.listen: "} {
			if i+1 < len(lines) && !strings.Contains(lines[i+1], want) {
				t.Errorf("line %d is %q, want %q", i+1, lines[i+1], want)
			}
		}
	}
	if code, out := sluice(t, nil, "--config", name+".missing"); code != 2 || !strings.Contains(out, name+".missing") {
		t.Errorf("a missing file: %d\n%s", code, out)
	}
}

func TestAPortInUseNamesItsKey(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	for _, key := range []string{"http.listen", "rtmp.listen"} {
		code, out := sluice(t, nil, "--set", "http.listen=127.0.0.1:0", "--set", "rtmp.listen=127.0.0.1:0", "--set", key+"="+addr)
		if code != 1 || !strings.Contains(out, key+": ") || !strings.Contains(out, addr) || !strings.Contains(out, "in use") {
			t.Errorf("%s: %d\n%s", key, code, out)
		}
	}
}

func TestSignalsStopTheServerCleanly(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := harness.Start(t)
		s.Signal(t, sig)
		if code := s.End(t); code != 0 || strings.Count(s.Output(), "shutting down") != 1 {
			t.Errorf("%v: %d\n%s", sig, code, s.Output())
		}
	}
}

func TestASecondSignalEndsTheServerAtOnce(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	c, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HT"); err != nil { // draining waits for the rest of it
		t.Fatal(err)
	}
	s.Call(t, http.MethodGet, "/healthz") // accepted later than that one
	s.Signal(t, syscall.SIGTERM)
	s.WaitLine(t, "shutting down")
	s.Signal(t, syscall.SIGTERM)
	if code := s.End(t); code != 1 {
		t.Errorf("it ended with %d, not by the second signal:\n%s", code, s.Output())
	}
}

func TestTheLogIsJSONOnDemand(t *testing.T) {
	t.Parallel()
	p := harness.Run(t, t.TempDir(), nil, harness.Binary(t), "--log-format", "json",
		"--set", "http.listen=127.0.0.1:0", "--set", "rtmp.listen=127.0.0.1:0")
	p.WaitLine(t, `"msg":"listening","proto":"http"`)
	if code := p.Stop(t); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

func TestWithoutFlvNothingUnderItsPathExists(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--set", "flv.enable=false")
	for _, call := range []string{
		"GET /flv/live/test.flv?wait=0s", "GET /flv/live/test?wait=0s", "POST /flv/record/start/live/test",
		"GET /flv/record/list", "GET /flv/", "OPTIONS /flv/live/test",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, body := s.Call(t, method, path)
		if status != http.StatusNotFound || !strings.Contains(body, "nothing is served at this path") {
			t.Errorf("%s: %d %s", call, status, body)
		}
	}
	if status, _ := s.Call(t, http.MethodGet, "/"); status != http.StatusOK {
		t.Errorf("the page: %d", status)
	}
	p := harness.Run(t, t.TempDir(), nil, harness.Binary(t), "publish", flvtest.Path(t, "h264_aac.flv"), s.Push("live/test"))
	s.WaitLine(t, "session began", "role=publisher", "stream=live/test")
	p.Stop(t)
}

func TestAPartThatWasLeftOutOfTheBinaryIsNamed(t *testing.T) {
	t.Parallel()
	bin := harness.Build(t, "-tags", "no_flv,no_console")
	run := func(args ...string) (int, string) {
		p := harness.Run(t, t.TempDir(), nil, bin, args...)
		return p.Wait(t), p.Output()
	}
	if code, out := run("version"); code != 0 || !strings.HasSuffix(out, "\nmodules: rtmp\nleft out: flv record console") {
		t.Errorf("version: %d\n%s", code, out)
	}
	code, out := run("config", "--config", file(t, "x.yaml", "flv: {enable: true}\nrecord: {dir: x}\n"), "--set", "console.enable=false")
	for _, want := range []string{
		":1:1: flv: this binary was built without flv", ":2:1: record: this binary was built without flv",
		"--set console.enable: console: this binary was built without console",
	} {
		if code != 2 || !strings.Contains(out, want) {
			t.Errorf("%d, not %q:\n%s", code, want, out)
		}
	}

	p := harness.Run(t, t.TempDir(), nil, bin, "demo", "--set", "http.listen=127.0.0.1:0", "--set", "rtmp.listen=127.0.0.1:0")
	p.WaitLine(t, "session began", "stream=live/demo")
	p.WaitLine(t, "(no player:")
	if code := p.Stop(t); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
}

func TestEveryCombinationOfPartsAndSystemsBuilds(t *testing.T) {
	for _, tags := range []string{"no_flv", "no_console"} {
		harness.Build(t, "-tags", tags)
	}
	for _, system := range []string{"windows", "darwin"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", t.TempDir(), "sluice/cmd/sluice")
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=arm64", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, out)
		}
	}
}

func TestTheDemoPrintsURLsThatWork(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "demo")
	line := s.WaitLine(t, "HTTP-FLV", "http://")
	_, url, _ := strings.Cut(line, "http://")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, head); err != nil || string(head[:3]) != "FLV" {
		t.Errorf("%s begins with %q, %v", url, head[:3], err)
	}
	s.WaitLine(t, "page", "http://"+s.HTTP+"/")
	s.WaitLine(t, "WebSocket", "ws://"+s.HTTP+"/flv/live/demo.flv?profile=web")
	s.WaitLine(t, "ffplay http://"+s.HTTP+"/flv/live/demo.flv")
	if status, _ := s.Call(t, http.MethodGet, "/"); status != http.StatusOK {
		t.Errorf("the page: %d", status)
	}
}

func TestPublishSaysWhatIsWrongBeforeAndAfterItAsksTheServer(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	good := flvtest.Path(t, "h264_aac.flv")
	folder := t.TempDir()
	gone, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, c := range []struct {
		file, url string
		code      int
		want      string
	}{
		{filepath.Join(folder, "missing.flv"), s.Push("live/a"), 1, "missing.flv: no such file"},
		{folder, s.Push("live/a"), 1, folder},
		{file(t, "x.mp4", "\x00\x00\x00\x20ftypisom"), s.Push("live/a"), 1, "x.mp4 is no FLV file"},
		{file(t, "empty.flv", ""), s.Push("live/a"), 1, "empty.flv is no FLV file"},
		{good, "http://" + s.HTTP + "/live/a", 2, "rtmp://"},
		{good, "rtmp://" + gone.Addr().String() + "/live/a", 1, "connection refused"},
		{good, s.Push("record/a"), 1, "publishing to rtmp://" + s.RTMP + "/record/a: "},
		{good, "rtmp://" + s.HTTP + "/live/a?token=sesame", 1, "publishing to rtmp://" + s.HTTP + "/live/a: "},
	} {
		code, out := sluice(t, nil, "publish", c.file, c.url)
		if code != c.code || !strings.HasPrefix(out, "sluice: ") || !strings.Contains(out, c.want) || strings.Contains(out, "sesame") {
			t.Errorf("publish %s %s: %d\n%s", c.file, c.url, code, out)
		}
	}
}

func TestPublishPlaysAFileToItsEndAndALoopUntilItIsStopped(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	loop := harness.Run(t, t.TempDir(), nil, harness.Binary(t), "publish", "--loop", flvtest.Path(t, "h264_aac.flv"), s.Push("live/loop"))
	s.WaitLine(t, "session began", "stream=live/loop")

	code, out := sluice(t, nil, "publish", flvtest.Path(t, "aac_only.flv"), s.Push("live/loop"))
	if code != 1 || !strings.Contains(out, "NetStream.Publish.BadName") {
		t.Errorf("a second publisher: %d\n%s", code, out)
	}
	code, out = sluice(t, nil, "publish", flvtest.Path(t, "aac_only.flv"), s.Push("live/once"))
	if code != 0 || !strings.Contains(out, "publishing ") {
		t.Errorf("once: %d\n%s", code, out)
	}
	s.WaitLine(t, "session ended", "stream=live/once", "reason=unpublished")

	loop.Signal(t, syscall.SIGINT)
	if code := loop.Wait(t); code != 0 {
		t.Errorf("the loop ended with %d\n%s", code, loop.Output())
	}
	s.WaitLine(t, "session ended", "stream=live/loop", "reason=unpublished")
}

func TestPublishEndsWhenTheServerDoes(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	p := harness.Run(t, t.TempDir(), nil, harness.Binary(t), "publish", "--loop", flvtest.Path(t, "h264_aac.flv"), s.Push("live/test"))
	p.WaitLine(t, "publishing ")
	s.Kill(t)
	if code := p.Wait(t); code != 1 || !strings.Contains(p.Output(), "sluice: the server ended it") {
		t.Errorf("%d\n%s", code, p.Output())
	}
}

func TestPublishingACutFileSaysSo(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	whole, err := os.ReadFile(flvtest.Path(t, "aac_only.flv"))
	if err != nil {
		t.Fatal(err)
	}
	name := file(t, "cut.flv", string(whole[:len(whole)/4]))
	code, out := sluice(t, nil, "publish", name, s.Push("live/cut"))
	if code != 1 || !strings.Contains(out, "cut.flv is cut off") {
		t.Errorf("%d\n%s", code, out)
	}
}
