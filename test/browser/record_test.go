package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/test/harness"
)

// replay is the expression for the player of a recording.
const replay = "document.querySelector('dialog.replay video')"

// rows is the expression for the recordings that the page lists of live/test.
const rows = "[...document.querySelectorAll(`[data-path='live/test'] .recordings li`)]"

// seeks seeks in a recording and waits until that place is shown. It returns
// the time of the picture.
func (b *tab) seeks(to float64) float64 {
	b.t.Helper()
	b.script(fmt.Sprintf(`window.shown = undefined; %[1]s.pause(); %[1]s.requestVideoFrameCallback(function next(_, f) {
		if (Math.abs(f.mediaTime - %[2]v) < 10) shown = f.mediaTime; else %[1]s.requestVideoFrameCallback(next); });
		%[1]s.currentTime = %[2]v`, replay, to))
	b.until("it has sought", fmt.Sprintf("!%[1]s.seeking && %[1]s.readyState >= 2 && window.shown !== undefined", replay))
	return value[float64](b, "shown")
}

func TestAStreamIsRecordedWatchedAndDeletedOnThePage(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, "--set", "http.token=open-sesame")
	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.enterToken("open-sesame")
	of := card("live/test")

	b.see(of+" .record", "Record")
	b.click(of + " .recorder summary")
	b.see(of+" .recorder .hint", "There are none yet")
	b.click(of + " .record")
	b.see(of+" .record", "Stop recording")
	b.until("it shows how long and how large it is",
		"/^0:0[4-9] · [1-9]\\d* kB$|^0:[1-5]\\d · /.test(document.querySelector(`"+of+" .recorder .numbers`).innerText)")
	b.until("it is in the list, which tells the same, and cannot be deleted yet",
		rows+".length === 1 && "+rows+"[0].dataset.state === 'recording' && /0:0[4-9]|0:[1-5]\\d/.test("+rows+"[0].innerText) && !"+
			rows+"[0].querySelector('.remove').checkVisibility()")
	b.click(of + " .record")
	b.until("it is finished", rows+".length === 1 && "+rows+"[0].dataset.state === 'finished'")
	checkMarkup(t, b)

	b.click(of + " .does button:first-child")
	b.until("it plays", replay+"?.currentTime > 0.3 && "+replay+".videoWidth === 320")
	if at := b.seeks(3); at < 2 || at > 4 {
		t.Errorf("it shows %.2f s, want 3 ± 1", at)
	}
	if part := b.bright("dialog.replay video"); part < 0.5 {
		t.Errorf("%.0f %% of the screen is bright, want a picture", part*100)
	}
	if !value[bool](b, replay+".duration > 3.5") {
		t.Error("the player does not know how long it is")
	}
	b.do(chromedp.KeyEvent("\x1b"))
	b.until("it is closed by the keyboard", "!document.querySelector('dialog')")

	recorded := func() []string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(server.Records, "live", "test", "*.flv"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	const everywhere = "[...document.querySelectorAll('#recordings li')]"
	b.click("#recordings summary")
	b.until("the list of all streams has it, too", everywhere+".length === 1")
	b.click(of + " .remove")
	b.see("dialog.ask", "It cannot be brought back")
	b.click("dialog.ask button[value=no]")
	b.until("nothing has happened", "!document.querySelector('dialog') && "+rows+".length === 1")
	if n := len(recorded()); n != 1 {
		t.Fatalf("there are %d files", n)
	}
	b.click(of + " .remove")
	b.click("dialog.ask button[value=yes]")
	b.until("it is gone from both lists", rows+".length === 0 && "+everywhere+".length === 0")
	b.see("#recordings .hint", "There are none yet")
	b.see(of+" .recorder .hint", "There are none yet")
	if n := len(recorded()); n != 0 {
		t.Errorf("there are %d files", n)
	}
}

// pushLong publishes a file over and over, as fast as it goes, until the stream
// is that long, and goes on to be live.
func pushLong(t *testing.T, server *harness.Server, name string, length time.Duration) {
	t.Helper()
	_, tags := harness.Tags(t, flvtest.Path(t, name))
	if tags[0].Type == flv.TagScript {
		tags = tags[1:]
	}
	p := harness.Connect(t, server.Push("live/test"))
	p.Send(t, tags...)
	viewer := harness.Watch(t, server.Play("http", "live/test?wait=30s"))
	viewer.Begin(t)
	viewer.Close()
	server.Record(t, "POST", "start/live/test")
	const round = 4 * time.Second
	for at := round; at < length; at += round {
		p.Send(t, harness.Shift(tags, at)...)
	}
}

func TestThePlayerSeeksInARecordingThatIsStillWritten(t *testing.T) {
	t.Parallel()
	const length, gop = 10 * time.Minute, 2.0
	server := harness.Start(t, "--set", "rtmp.idle_timeout=10m") // what is live then has been sent before
	pushLong(t, server, "h264_aac.flv", length)
	harness.Eventually(t, "most of it is recorded", func() bool {
		return server.Record(t, "GET", "status/live/test").DurationMS > (length - 10*time.Second).Milliseconds()
	})
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.click(card("live/test") + " .recorder summary")
	b.until("it is listed as running", rows+".length === 1 && "+rows+"[0].dataset.state === 'recording'")
	b.click(card("live/test") + " .does button:first-child")
	b.until("it plays", replay+"?.currentTime > 0.3 && "+replay+".duration > 500")
	middle := value[float64](b, replay+".duration / 2")
	if value[bool](b, fmt.Sprintf("(r => [...Array(r.length).keys()].some(i => r.start(i) <= %[2]v && r.end(i) >= %[2]v))(%[1]s.buffered)", replay, middle)) {
		t.Errorf("the player has loaded the middle, %.0f s, already: this test proves nothing", middle)
	}
	for _, to := range []float64{middle, middle / 4, middle * 1.8} {
		if at := b.seeks(to); at < to-gop || at > to+gop {
			t.Errorf("seeking to %.2f s shows %.2f s, want at most a GOP between", to, at)
		}
	}
	b.script(replay + ".play()")
	b.until("it plays on", fmt.Sprintf("%s.currentTime > %v", replay, middle*1.8+1))
	if text := value[string](b, "document.querySelector('dialog.replay .notes').innerText"); text != "" {
		t.Errorf("the page says %q", text)
	}
	if got := server.Record(t, "GET", "status/live/test").State; got != "recording" {
		t.Errorf("the recording is %s by now: this test proves nothing", got)
	}
}

func TestTheRecordingOfACameraPlaysWithItsSound(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "open-sesame"} {
		t.Run("with the token "+token, func(t *testing.T) {
			t.Parallel()
			server := harness.Start(t, "--set", "http.token="+token)
			publishFile(t, server, "h264_mulaw8k.flv", "live/test")
			b := launch(t).open(t, "http://"+server.HTTP+"/")
			if token != "" {
				b.enterToken(token)
			}
			b.click(card("live/test") + " .record")
			b.until("it records", "/^0:0[3-9]/.test(document.querySelector('.recorder .numbers').innerText)")
			b.click(card("live/test") + " .record")
			b.click(card("live/test") + " .recorder summary")
			b.click(card("live/test") + " .does button:first-child")
			b.plays(replay, true, true)
		})
	}
}

func TestTheListOnThePageHasPagesAndLinks(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	encoder := harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	harness.Watch(t, server.Play("http", "live/test?wait=30s")).Begin(t)
	const n = 23
	for range n {
		server.Record(t, "POST", "start/live/test")
		server.Record(t, "POST", "stop/live/test")
	}
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	of := card("live/test")
	b.click(of + " .recorder summary")
	b.until("a page is there", rows+".length === 20")
	b.click(of + " .recorder details > button")
	b.until("all are there", fmt.Sprintf("%s.length === %d && !document.querySelector(`%s .recorder details > button`).checkVisibility()", rows, n, of))
	if got := value[int](b, "new Set("+rows+".map((e) => e.dataset.file)).size"); got != n {
		t.Errorf("there are %d different ones, want %d", got, n)
	}
	for i, want := range []string{"video/x-flv", "video/mp4"} {
		link := fmt.Sprintf("%s[0].querySelectorAll('a[download]')[%d]", rows, i)
		if got := value[string](b, "fetch("+link+".href).then((a) => a.headers.get('Content-Type'))"); got != want {
			t.Errorf("the link %s leads to %q, want %s", value[string](b, link+".href"), got, want)
		}
	}

	name := value[string](b, rows+"[0].dataset.file")
	if err := os.Remove(filepath.Join(server.Records, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
	b.click(of + " .recorder summary")
	b.click(of + " .recorder summary")
	b.until("what was removed is listed no more", fmt.Sprintf("%s.length === 20 && %[1]s.every((e) => e.dataset.file !== %q)", rows, name))

	encoder.Stop(t)
	b.until("the stream is not on the page any more", "!document.querySelector(`"+of+"`)")
	b.click("#recordings summary")
	b.see("#recordings li .when", "live/test, ")
}
