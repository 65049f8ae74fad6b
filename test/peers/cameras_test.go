package peers_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// camera starts an RTSP camera and returns its URL.
func camera(t *testing.T, video, audio string) string {
	t.Helper()
	p := harness.Run(t, filepath.Join(flvtest.Root(t), "test", "peers"), nil, "/usr/bin/python3", "camera.py", video, audio)
	t.Cleanup(func() { p.Signal(t, syscall.SIGKILL) }) // GStreamer's loop heeds nothing else at once
	return p.WaitLine(t, "rtsp://")
}

// read returns a file of the project.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(flvtest.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// execStart returns the command of a unit for the instance "front", with those
// variables on top of its own. As systemd does it, ${NAME} is one word and
// $NAME as many as it has.
func execStart(t *testing.T, unit string, env map[string]string) []string {
	t.Helper()
	text := strings.ReplaceAll(read(t, "contrib/systemd/"+unit), "\\\n", " ")
	text = strings.ReplaceAll(text, "%i", "front")
	vars := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^Environment="?(\w+)=([^"\n]*)"?$`).FindAllStringSubmatch(text, -1) {
		vars[m[1]] = m[2]
	}
	maps.Copy(vars, env)
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatalf("%s starts nothing", unit)
	}
	var words []string
	for w := range strings.FieldsSeq(line[1]) {
		if name, ok := strings.CutPrefix(w, "$"); ok && !strings.HasPrefix(name, "{") {
			words = append(words, strings.Fields(vars[name])...)
			continue
		}
		words = append(words, os.Expand(w, func(name string) string { return vars[name] }))
	}
	return words
}

func TestTheUnitOfACameraPublishesIt(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, c := range []struct {
		audio, codecs string
		want          []media.Codec
	}{
		{"alaw", "", []media.Codec{media.G711A, media.H264}},
		{"mulaw", "", []media.Codec{media.G711U, media.H264}},
		{"aac", "", []media.Codec{media.AAC, media.H264}},
		{"alaw", "-c:v copy -c:a aac -ar 44100", []media.Codec{media.AAC, media.H264}},
		{"alaw", "-c:v copy -an", []media.Codec{media.H264}},
		{"none", "", []media.Codec{media.H264}},
	} {
		t.Run(c.audio+c.codecs, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"CAMERA": camera(t, "h264", c.audio), "SLUICE": "rtmp://" + s.RTMP + "/" + slug(t.Name())}
			if c.codecs != "" {
				env["CODECS"] = c.codecs
			}
			line := execStart(t, "sluice-camera@.service", env)
			harness.Run(t, "", nil, line[0], line[1:]...)
			comes(t, s.Play("http", slug(t.Name())+"/camera/front.flv?wait=60s&profile=raw"), c.want...)
		})
	}
}

func slug(name string) string { return regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(name, "-") }

// comes watches until there were frames of those codecs, audio before video,
// and none of others.
func comes(t *testing.T, address string, want ...media.Codec) {
	t.Helper()
	v := harness.Watch(t, address)
	defer v.Close()
	var got []media.Codec
	for frames := 0; frames < 40; {
		p := v.Packet(t)
		if p.Type != media.Frame || p.Kind == media.Data {
			continue
		}
		frames++
		if !slices.Contains(got, p.Codec) {
			got = append(got, p.Codec)
		}
	}
	order := func(c media.Codec) int { return slices.Index(want, c) }
	slices.SortFunc(got, func(a, b media.Codec) int { return order(a) - order(b) })
	if !slices.Equal(got, want) {
		t.Errorf("%s brings %v, want %v", address, got, want)
	}
}

func TestAnH265CameraIsPublishedByANewerFFmpeg(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	harness.NodeAV(t, "copy.mjs", camera(t, "h265", "alaw"), s.Push("camera/front"))
	comes(t, s.Play("http", "camera/front.flv?wait=60s&profile=raw"), media.G711A, media.H265)
}

func TestTheCommandsOnThePageAboutCamerasWork(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	commands := regexp.MustCompile(`(?m)^ffmpeg .*rtmp://localhost:1935/(\S+)$`).FindAllStringSubmatch(
		strings.ReplaceAll(read(t, "docs/cameras.md"), "\\\n", " "), -1)
	if len(commands) == 0 {
		t.Fatal("there are none")
	}
	for i, c := range commands {
		t.Run(c[1], func(t *testing.T) {
			t.Parallel()
			line := strings.ReplaceAll(c[0], "rtmp://localhost:1935/"+c[1], s.Push(fmt.Sprint("page/", i)))
			line = regexp.MustCompile(`rtsp://\S+`).ReplaceAllLiteralString(line, camera(t, "h264", "alaw"))
			words := strings.Fields(line)
			harness.Run(t, "", nil, words[0], append([]string{"-nostdin"}, words[1:]...)...)
			harness.Watch(t, s.Play("http", fmt.Sprintf("page/%d.flv?wait=60s", i))).Begin(t)
		})
	}
}

func TestSystemdFindsNothingWrongWithTheUnits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	units, err := filepath.Glob(filepath.Join(flvtest.Root(t), "contrib", "systemd", "*"))
	if err != nil || len(units) == 0 {
		t.Fatalf("there are no units (%v)", err)
	}
	var front []string
	for _, name := range units {
		base := filepath.Base(name)
		text := read(t, "contrib/systemd/"+base)
		instance := filepath.Join(dir, strings.Replace(base, "@", "@front", 1))
		for _, file := range []string{filepath.Join(dir, base), instance} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		front = append(front, instance)
	}
	said := harness.Output(t, []string{"SYSTEMD_UNIT_PATH=" + dir + ":"}, "systemd-analyze", append([]string{"verify", "--man=no"}, front...)...)
	for line := range strings.Lines(said) {
		if strings.Contains(line, dir) {
			t.Errorf("systemd-analyze says: %s", line)
		}
	}
}

// public returns a folder that everybody may enter: nginx's workers are somebody
// else when root starts it, and [testing.T.TempDir] is for its owner alone.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-peers") //nolint:usetesting // see above
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // see above
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	return dir
}

// TestACameraIsWatchedOnDemand goes the way of a viewer whose camera sleeps:
// nginx, the socket that systemd holds, its proxy, Sluice. What systemd itself
// does, starting and stopping the camera with the proxy, is in the units.
func TestACameraIsWatchedOnDemand(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	dir := public(t)
	socket := filepath.Join(dir, "front.sock")
	proxy := execStart(t, "sluice-watch@.service", map[string]string{"SLUICE_HTTP": s.HTTP})
	for i, w := range proxy {
		if strings.HasPrefix(w, "--exit-idle-time=") {
			proxy[i] = "--exit-idle-time=1s"
		}
	}
	p := harness.Run(t, "", nil, "systemd-socket-activate", append([]string{"-l", socket}, proxy...)...)
	p.WaitLine(t, "Listening on")
	if err := os.Chmod(socket, 0o777); err != nil { //nolint:gosec // SocketMode does it in the unit
		t.Fatal(err)
	}
	location := regexp.MustCompile("(?ms)^```nginx\n(.*?)^```$").FindStringSubmatch(read(t, "docs/cameras.md"))
	if location == nil {
		t.Fatal("docs/cameras.md has no block for nginx")
	}
	front := harness.Nginx(t, strings.ReplaceAll(location[1], "/run/sluice-watch", dir))

	line := execStart(t, "sluice-camera@.service", map[string]string{"CAMERA": camera(t, "h264", "alaw"), "SLUICE": "rtmp://" + s.RTMP})
	v := make(chan *harness.Viewer, 1)
	failed := make(chan error, 1)
	go func() {
		viewer, err := harness.Open(t.Context(), "http://"+front+"/flv/camera/front.flv?wait=60s")
		v <- viewer
		failed <- err
	}()
	p.WaitLine(t, "Execing") // the first viewer is there, and with it the camera
	harness.Run(t, "", nil, line[0], line[1:]...)
	viewer := <-v
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	viewer.Begin(t)
	viewer.Close()
	if code := p.Wait(t); code != 0 {
		t.Errorf("the proxy ended with %d", code)
	}
}
