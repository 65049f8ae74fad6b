package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/flvtest"
	"sluice/test/harness"
)

func TestTheDemoPublishesAMovingPictureWithSound(t *testing.T) {
	s := harness.Start(t, "demo")
	src := harness.Sources()[0]
	comesBack(t, src, s.Play("http", "live/demo.flv?wait=30s"))
	comesBack(t, src, s.Play("ws", "live/demo.flv?wait=30s"))
	s.WaitLine(t, s.Play("http", "live/demo.flv"))
	harness.NewWitness(t, s.Play("http", "live/demo.flv")).Undisturbed(t)
}

func TestAFileIsPublishedOverAndOver(t *testing.T) {
	s := harness.Start(t)
	file := flvtest.Path(t, "h264_aac.flv") // 4 s
	p := harness.Run(t, "", nil, harness.Binary(t), "publish", file, s.Push("live/loop"), "--loop")
	v := harness.Watch(t, s.Play("http", "live/loop?wait=30s"))
	defer v.Close()
	frames := 0
	for last := v.Packet(t).DTS; frames < 700; frames++ { // the file has some 270
		packet := v.Packet(t)
		if packet.DTS > last+200*time.Millisecond || packet.DTS < last-200*time.Millisecond {
			t.Fatalf("frame %d is at %v, behind %v", frames, packet.DTS, last)
		}
		last = packet.DTS
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("it ended with %d:\n%s", code, p.Output())
	}
}

func TestFLVThatIsSwitchedOffLeavesRTMPAlone(t *testing.T) {
	s := harness.Start(t, "--set", "flv.enable=false")
	for _, path := range []string{"/flv/live/x.flv", "/flv/record/list"} {
		if status, body := s.Call(t, http.MethodGet, path); status != http.StatusNotFound || !strings.Contains(body, "nothing is served") {
			t.Errorf("%s answers %d %s", path, status, body)
		}
	}
	if err := publish(t, s.Push("live/x")); err != nil {
		t.Errorf("publishing: %v", err)
	}
}

func TestABinaryWithoutFLVSaysSo(t *testing.T) {
	bin := harness.Build(t, "-tags", "no_flv")
	p := harness.Run(t, t.TempDir(), nil, bin, "--set", "flv.max_lag=1s")
	if code := p.Wait(t); code == 0 || !strings.Contains(p.Output(), "built without flv") {
		t.Errorf("a section for what is not there ends it with %d:\n%s", code, p.Output())
	}
	p = harness.Run(t, t.TempDir(), nil, bin, "--set", "http.listen=127.0.0.1:0", "--set", "rtmp.listen=127.0.0.1:0")
	p.WaitLine(t, "listening", "proto=rtmp")
	if code := p.Stop(t); code != 0 {
		t.Errorf("it ended with %d:\n%s", code, p.Output())
	}
}

func TestMakeKnowsTheNamesOfTheModules(t *testing.T) {
	p := harness.Run(t, flvtest.Root(t), []string{"MAKEFLAGS="}, "make", "--dry-run", "build", "WITHOUT=flv bogus")
	if code := p.Wait(t); code == 0 || !strings.Contains(p.Output(), `"bogus"`) || !strings.Contains(p.Output(), "console flv") {
		t.Errorf("make ended with %d:\n%s", code, p.Output())
	}
	p = harness.Run(t, flvtest.Root(t), []string{"MAKEFLAGS="}, "make", "--dry-run", "build", "WITHOUT=flv console")
	if code := p.Wait(t); code != 0 || !strings.Contains(p.Output(), "-tags 'no_flv no_console'") || strings.Contains(p.Output(), "npm") {
		t.Errorf("make ended with %d:\n%s", code, p.Output())
	}
}
