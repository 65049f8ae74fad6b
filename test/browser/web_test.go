package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/flvtest"
	"sluice/test/harness"
)

// publishFile has the server's own publisher send a file over and over.
func publishFile(t *testing.T, server *harness.Server, file, path string) {
	t.Helper()
	p := harness.Run(t, "", nil, harness.Binary(t), "publish", "--loop", flvtest.Path(t, file), server.Push(path))
	p.WaitLine(t, "publishing")
}

// ears lets the page hear what the player plays: the loudest sample so far.
const ears = `
video.muted = false;
window.loudest = 0;
{
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  audio.createMediaElementSource(video).connect(analyser).connect(audio.destination);
  const samples = new Float32Array(analyser.fftSize);
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, ...samples.map(Math.abs));
  }, 50);
}`

// hears lets a browser play sound without a click.
func hears() chromedp.ExecAllocatorOption {
	return chromedp.Flag("autoplay-policy", "no-user-gesture-required")
}

// This is the browser's part of cases 104, 105 and 129.
func TestMpegtsPlaysEveryCodecOfTheWebProfile(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	browser, other := launch(t, hears()), elsewhere(t)
	for i, tc := range []struct {
		file, query, leftOut string
		picture, sound       bool
	}{
		{file: "h264_aac", picture: true, sound: true},
		{file: "h264_mp3", picture: true, sound: true},
		{file: "mutants/mp3_8k14", picture: true, sound: true},
		{file: "h264_opus_enhanced", picture: true, sound: true},
		{file: "h264_flac_enhanced", picture: true, sound: true},
		{file: "h264_alaw8k", picture: true, sound: true},
		{file: "h264_mulaw8k", picture: true, sound: true},
		{file: "h264_alaw8k", query: "&audio=off", picture: true},
		{file: "h264_mulaw8k", query: "&video=off", sound: true},
		{file: "mutants/avc_ex_avc1", picture: true, sound: true},
		{file: "mutants/aac_ex_mp4a", picture: true, sound: true},
		{file: "multitrack_2v2a", query: "&track=1", picture: true, sound: true},
		{file: "h264_ac3_enhanced", picture: true, leftOut: "audio:AC-3"},
		{file: "av1_opus_enhanced", sound: true, leftOut: "video:AV1"},
		{file: "aac_only", sound: true},
		{file: "h264_only", picture: true},
	} {
		path := "web/" + strings.NewReplacer("/", "-", "&", "-", "=", "-").Replace(tc.file+tc.query)
		schemes := []string{[]string{"http", "ws"}[i%2]}
		if tc.sound && strings.Contains(tc.file, "law8k") {
			schemes = []string{"http", "ws"}
		}
		for _, scheme := range schemes {
			t.Run(tc.file+tc.query+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				path := path + scheme
				publishFile(t, server, tc.file+".flv", path)
				address := server.Play(scheme, path+"?profile=web&wait=30s"+tc.query)
				answer := harness.Watch(t, address).Answer
				if got := answer.Header.Get("Sluice-Left-Out"); got != tc.leftOut {
					t.Errorf("left out is %q, want %q", got, tc.leftOut)
				}
				b := browser.open(t, other)
				b.load(libraries()[0])
				b.script(ears)
				b.script("start(mpegts, {type: 'flv', isLive: true, url: '" + address + "'}, {})")
				b.plays("video", tc.picture, tc.sound)
				if tc.sound {
					b.until("something is heard", "loudest > 0.02")
				}
				if tc.picture {
					if part := b.bright("#stage"); part < 0.5 {
						t.Errorf("%.0f %% of the screen is bright, want a picture", part*100)
					}
				}
				if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
					t.Errorf("the player complains: %q", errs)
				}
			})
		}
	}
}

// A page of a server that is reached by plain http and another name than
// localhost sends neither Origin nor Sec-Fetch-Mode.
func TestAPageOfAnotherHostNameGetsTheWebProfile(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	publishFile(t, server, "h264_alaw8k.flv", "live/test")
	host := strings.Replace(server.HTTP, "127.0.0.1", "cam.test", 1)
	b := launch(t, hears(), chromedp.Flag("host-resolver-rules", "MAP cam.test 127.0.0.1")).open(t, "http://"+host+"/")
	if value[bool](b, "isSecureContext") {
		t.Fatal("the browser takes this page for a safe one, so that this test proves nothing")
	}
	b.load(libraries()[0])
	b.script(ears)
	b.script("start(mpegts, {type: 'flv', isLive: true, url: 'http://" + host + "/flv/live/test.flv?wait=30s'}, {})")
	b.plays("video", true, true)
	b.until("something is heard", "loudest > 0.02")
	if got := value[string](b, "fetch('/flv/live/test', {method: 'HEAD'}).then((r) => r.headers.get('Sluice-Profile'))"); got != "web" {
		t.Errorf("the profile is %q", got)
	}
	if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
		t.Errorf("the player complains: %q", errs)
	}
}
