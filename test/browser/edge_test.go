package browser_test

import (
	"testing"
	"time"

	"sluice/test/harness"
)

func TestMpegtsJoinsAtTheEdgeOfALongGOPWithBFrames(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	harness.Publish(t, harness.LongGOP(), server.Push("live/test"))
	browser := launch(t)
	for _, config := range []string{"{}", "{enableStashBuffer: false}"} {
		for _, scheme := range []string{"http", "ws"} {
			t.Run(scheme+" "+config, func(t *testing.T) {
				t.Parallel()
				b := browser.open(t, elsewhere(t))
				b.load(libraries()[0])
				address := server.Play(scheme, "live/test.flv?profile=web&wait=30s")
				probe := harness.Watch(t, address+"&join=gop")
				probe.Into(t, 2*time.Second)
				edge := harness.Watch(t, address+"&join=edge")
				if got := edge.Answer.Header.Get("Sluice-Join"); got != "edge" {
					t.Errorf("the answer says that it joined at %q", got)
				}
				edge.Close()
				probe.Close()
				b.script("start(mpegts, {type: 'flv', isLive: true, url: '" + address + "&join=edge'}, " + config + ")")
				b.plays("video", true, true)
				if part := b.bright("#stage"); part < 0.5 {
					t.Errorf("%.0f %% of the screen is bright, want a picture", part*100)
				}
				if value[int](b, "video.buffered.length") != 1 {
					t.Error("what it has got is in pieces")
				}
				if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
					t.Errorf("the player complains: %q", errs)
				}
			})
		}
	}
}
