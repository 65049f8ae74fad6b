package browser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"sluice/test/harness"
)

// card selects the part of the page that shows a stream.
func card(path string) string { return fmt.Sprintf("[data-path=%q]", path) }

// player is the expression for the video element of the stream live/test.
const player = "document.querySelector(`[data-path='live/test'] video`)"

func TestAStreamAppearsOnThePageAndPlays(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.see("#empty", "Nothing is live")
	if got := b.publishAt("#publish"); got != server.Push("live/test") {
		t.Errorf("the page says to publish at %q, want %q", got, server.Push("live/test"))
	}

	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	b.see(card("live/test"), "H.264 320×180 · AAC 44.1 kHz stereo")
	if value[bool](b, "document.getElementById('empty').checkVisibility()") {
		t.Error("it still says that nothing is live")
	}
	b.click(card("live/test") + " .begin")
	b.plays(player, true, true)
	for _, part := range []string{"1 viewer", "bit/s", "s behind"} {
		b.see(card("live/test")+" .numbers", part)
	}
	if part := b.bright(card("live/test") + " video"); part < 0.5 {
		t.Errorf("%.0f %% of the screen is bright, want a picture", part*100)
	}
	if !value[bool](b, player+".muted && "+player+".disableRemotePlayback") {
		t.Error("the player begins with sound, or an iPhone would not play it")
	}

	b.click(card("live/test") + " label:has([value=ws])")
	b.until("it plays anew", player+".getVideoPlaybackQuality().totalVideoFrames < 20")
	b.plays(player, true, true)
	for _, scheme := range []string{"http", "ws"} {
		if b.requested("GET", server.Play(scheme, "live/test.flv"), "profile=web") == "" {
			t.Errorf("it did not play over %s, in the profile for browsers: %q", scheme, b.all(&b.requests))
		}
	}
	b.click(card("live/test") + " .controls > button:last-child")
	b.until("it stops", "document.querySelector('.card').dataset.state === 'idle'")
	checkMarkup(t, b)
	for _, r := range b.all(&b.requests) {
		if _, address, ok := strings.Cut(r, "://"); ok && !strings.HasPrefix(address, server.HTTP) && !strings.Contains(r, " data:") {
			t.Errorf("the page asks elsewhere: %s", r)
		}
	}
}

// checkMarkup looks for what people who do not see the page need.
func checkMarkup(t *testing.T, b *tab) {
	t.Helper()
	nameless := value[[]string](b, `[...document.querySelectorAll('button, input, a, video, section')]
		.filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim()))
		.map((e) => e.outerHTML)`)
	for _, e := range nameless {
		t.Errorf("this has no name: %s", e)
	}
	if lang := value[string](b, "document.documentElement.lang"); lang != "en" {
		t.Errorf("the language is %q", lang)
	}
}

// publishAt returns where a part of the page says to publish.
func (b *tab) publishAt(part string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(`%s input[aria-label=RTMP]`).value", part))
}

func TestAddressesAreCopiedWithoutHTTPS(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, "--set", "http.token=open-sesame")
	harness.Publish(t, h264WithAAC(t), server.Push("live/hall/cam1"))
	host := strings.Replace(server.HTTP, "127.0.0.1", insecureHost, 1)
	b := launch(t).open(t, "http://"+host+"/")
	if value[bool](b, "isSecureContext") {
		t.Fatal("the browser takes this page for a safe one, so that this test proves nothing")
	}

	b.see("#refusal", "SLUICE_HTTP_TOKEN")
	b.enterToken("wrong")
	b.see("#refusal", "This token is not accepted.")
	b.enterToken("open-sesame")
	b.see(card("live/hall/cam1"), "live/hall/cam1")
	if value[bool](b, "document.getElementById('token').checkVisibility()") {
		t.Error("the box for the token stays")
	}

	b.click(card("live/hall/cam1") + " .about > details > summary")
	b.click("#publish summary")
	for label, want := range map[string]string{
		"HTTP-FLV, for browsers":      "http://" + host + "/flv/live/hall/cam1.flv?profile=web",
		"WebSocket-FLV, for browsers": "ws://" + host + "/flv/live/hall/cam1.flv?profile=web",
		"ffplay":                      "ffplay http://" + host + "/flv/live/hall/cam1.flv",
		"RTMP":                        server.Push("live/hall/cam1"),
		"ffmpeg":                      "ffmpeg -re -i input.mp4 -c copy -f flv " + server.Push("live/hall/cam1"),
		"OBS server":                  server.Push("live/hall"),
		"OBS stream key":              "cam1",
	} {
		b.click(fmt.Sprintf("%s button[aria-label=%q]", card("live/hall/cam1"), "Copy "+label))
		b.until("it says so", fmt.Sprintf("document.querySelector(`%s .copy:has([aria-label=%q]) .said`).innerText === 'Copied'", card("live/hall/cam1"), label))
		if got := b.clipboard(); got != want {
			t.Errorf("%s: copied %q, want %q", label, got, want)
		}
	}
}

// enterToken types a token into its box and sends it.
func (b *tab) enterToken(token string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#secret"), token+"\r", chromedp.NodeVisible))
}

// clipboard pastes into the field for a name, the only way to read the
// clipboard without https.
func (b *tab) clipboard() string {
	b.t.Helper()
	b.script("document.getElementById('name').focus()")
	for _, command := range []string{"selectAll", "paste"} {
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Unidentified", Commands: []string{command},
		}); err != nil {
			b.t.Fatal(err)
		}
	}
	return value[string](b, "document.getElementById('name').value")
}

func TestALinkedStreamIsWaitedForAndFollowed(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	b := launch(t).open(t, "http://"+server.HTTP+"/#live/test")
	b.see(card("live/test")+" .state", "Nobody is publishing")
	for range 2 {
		encoder := harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
		b.plays(player, true, true)
		b.see(card("live/test")+" .state", "Live")
		encoder.Stop(t)
		b.see(card("live/test")+" .state", "Nobody is publishing")
	}
}

func TestAPlayerRecoversFromASilentConnection(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	for _, scheme := range []string{"http", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			line := newWire(t, server.HTTP)
			b := launch(t).open(t, "http://"+line.addr+"/#live/test")
			b.click(card("live/test") + fmt.Sprintf(" label:has([value=%s])", scheme))
			b.plays(player, true, true)
			line.cut()
			b.see(card("live/test")+" .state", "Nothing came for 5 seconds")
			b.plays(player, true, true)
			b.until("it is near life", fmt.Sprintf("(v => v.buffered.end(v.buffered.length - 1) - v.currentTime < 3)(%s)", player))
		})
	}
}

func TestThePageSaysWhatTheBrowserCannotPlay(t *testing.T) {
	t.Parallel()
	const lack = "This audio (AC-3) cannot be played in this browser."
	server := harness.Start(t)
	publishFile(t, server, "h264_ac3_enhanced.flv", "live/test")
	browser := launch(t)
	b := browser.open(t, "http://"+server.HTTP+"/")
	b.see(card("live/test")+" .notes", lack)
	b.click(card("live/test") + " .begin")
	b.plays(player, true, false)
	if b.requested("GET", "audio=off", "profile=web") == "" {
		t.Errorf("it asks for the sound all the same: %q", b.all(&b.requests))
	}

	// A page that may not list the streams learns it when it plays.
	locked := harness.Start(t, "--set", "http.token=open-sesame")
	publishFile(t, locked, "h264_ac3_enhanced.flv", "live/test")
	b = browser.open(t, "http://"+locked.HTTP+"/#live/test")
	b.plays(player, true, false)
	b.see(card("live/test")+" .state", lack)
}

func TestThePagePlaysACameraWithSound(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	harness.Publish(t, h264With(t, "pcm_mulaw"), server.Push("live/test"))
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.see(card("live/test"), "G.711 µ-law 8 kHz mono")
	b.click(card("live/test") + " .begin")
	b.plays(player, true, true)
	if value[string](b, "document.querySelector('.notes').innerText") != "" {
		t.Error("the page says that something cannot be played")
	}
}

func TestThePageSaysThatTheBrowserCannotPlayAtAll(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	b := launch(t).open(t, "about:blank")
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: "delete window.MediaSource; delete window.ManagedMediaSource"})
		return err
	}), chromedp.Navigate("http://"+server.HTTP+"/#live/test"))
	b.see(card("live/test")+" .notes", "This browser has no Media Source Extensions")
	if value[bool](b, "document.querySelector('.begin').checkVisibility()") {
		t.Error("there is a button to play")
	}
}

func TestWithoutFLVThePageHasNoPlayers(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, "--set", "flv.enable=false")
	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.see(card("live/test"), "Playing is switched off on this server.")
	if value[bool](b, player+".checkVisibility()") {
		t.Error("there is a player")
	}
	if value[bool](b, "document.querySelector('.recorder, #recordings').checkVisibility()") {
		t.Error("there is something to record with, though nothing records")
	}
	b.click(card("live/test") + " .about > details > summary")
	if got := b.publishAt(card("live/test")); got != server.Push("live/test") {
		t.Errorf("the page says to publish at %q, want %q", got, server.Push("live/test"))
	}
}

func TestAWallOverHTTPIsWarnedAboutAndMovesToWebSockets(t *testing.T) {
	t.Parallel()
	const players = 7
	server := harness.Start(t)
	var urls []string
	for i := range players {
		urls = append(urls, server.Push(fmt.Sprintf("wall/cam%d", i+1)))
	}
	harness.Publish(t, h264With(t, ""), urls...)
	b := launch(t).open(t, "http://"+server.HTTP+"/")
	b.until("all streams are there", fmt.Sprintf("document.querySelectorAll('.card.live').length === %d", players))
	for i := range players {
		b.click(card(fmt.Sprintf("wall/cam%d", i+1)) + " .begin")
	}
	b.see("#notice", "at most 6 connections")
	b.click("#notice button")
	b.until("all play", fmt.Sprintf("document.querySelectorAll('[data-state=playing]').length === %d", players))
	if value[bool](b, "document.getElementById('notice').checkVisibility()") {
		t.Error("the warning stays")
	}
}
