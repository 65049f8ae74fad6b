package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

// stage plays a stream in a video element of its own for six seconds, and tells
// when its first picture was there and where it stands. The player's clock
// begins with the first time that it was sent, which its remuxer knows.
const stage = `
window.join = async (url, config) => {
  const video = document.createElement('video');
  video.muted = true;
  video.style = 'width:320px;height:180px';
  document.body.append(video);
  const player = mpegts.createPlayer({type: 'flv', isLive: true, url}, config);
  let first = 0, error = '';
  player.on(mpegts.Events.ERROR, (...what) => { error = JSON.stringify(what); });
  video.requestVideoFrameCallback((now) => { first ||= now; });
  player.attachMediaElement(video);
  const asked = performance.now();
  player.load();
  player.play().catch((err) => { error ||= String(err); });
  await new Promise((done) => setTimeout(done, 6000));
  const base = player._player_engine._transmuxer._controller._remuxer.getTimestampBase();
  const at = {wall: performance.timeOrigin + performance.now(), shown: video.currentTime * 1000 + base, first: first - asked, error};
  player.destroy();
  video.remove();
  return at;
};`

// joined is what the page tells, in milliseconds.
type joined struct {
	Wall, Shown, First float64
	Error              string
}

// joins is one way to join, and what was measured of it.
type joins struct {
	config, join  string
	at            time.Duration
	first, behind []float64
}

func inBrowser(ctx context.Context, code string, p *probe, rounds int) error {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return err
	}
	alloc, end := chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 900), chromedp.Flag("mute-audio", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-dev-shm-usage", true))
	defer end()
	tab, closeTab := chromedp.NewContext(alloc)
	defer closeTab()
	page := strings.Split(p.url, "/flv/")[0] + "/healthz" // has no policy for scripts, and nothing that runs
	if err := chromedp.Do(tab, chromedp.Navigate(page), chromedp.Evaluate[chromedp.Void](code+stage)); err != nil {
		return fmt.Errorf("chromium: %w", err)
	}
	if _, _, err := watch(tab, p, "edge", "{}"); err != nil { // warms the browser up
		return err
	}
	var rows []*joins // edge and gop in turn
	for _, config := range []string{"{}", "{enableStashBuffer: false}"} {
		for _, ms := range []int{200, 1000, 2000, 3200, 3900} {
			at := time.Duration(ms) * time.Millisecond
			rows = append(rows, &joins{config: config, join: "edge", at: at}, &joins{config: config, join: "gop", at: at})
		}
	}
	if err := measure(ctx, tab, p, rows, rounds); err != nil {
		return err
	}
	fmt.Println("| mpegts.js, joined | first picture, ms: edge | gop | behind after 6 s, s: edge | gop |\n|---|---|---|---|---|")
	for i := 0; i < len(rows); i += 2 {
		edge, gop := rows[i], rows[i+1]
		fmt.Printf("| `%s`, after %.1f s | %s | %s | %s | %s |\n", edge.config, edge.at.Seconds(),
			median("%.0f", edge.first), median("%.0f", gop.first), median("%.2f", edge.behind), median("%.2f", gop.behind))
	}
	return nil
}

// measure joins once in each GOP, so that two or three play at a time.
func measure(ctx, tab context.Context, p *probe, rows []*joins, rounds int) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	for range rounds {
		for _, r := range rows {
			if err := p.into(ctx, r.at); err != nil {
				return err
			}
			wg.Go(func() {
				first, behind, err := watch(tab, p, r.join, r.config)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					fmt.Fprintf(os.Stderr, "edge: %s, %s, after %v: %v\n", r.join, r.config, r.at, err)
					return
				}
				r.first, r.behind = append(r.first, first), append(r.behind, behind)
			})
		}
	}
	return nil
}

// watch returns when the first picture was there, in milliseconds, and how far
// behind the newest frame the player stands after six seconds.
func watch(tab context.Context, p *probe, join, config string) (first, behind float64, err error) {
	at, err := chromedp.Run(tab, chromedp.Evaluate[joined](
		fmt.Sprintf("join(%q, %s)", p.url+"&profile=web&join="+join, config), chromedp.EvalAwaitPromise))
	switch {
	case err != nil:
		return 0, 0, err
	case at.Error != "":
		return 0, 0, fmt.Errorf("the player says %s", at.Error)
	case at.First <= 0:
		return 0, 0, errNever
	}
	return at.First, p.newest(time.UnixMicro(int64(at.Wall*1000))).Seconds() - at.Shown/1000, nil
}

// clock remembers where ffplay says that it is, and when it said so. It is safe
// for concurrent use.
type clock struct {
	mu   sync.Mutex // guards all below
	at   float64
	said time.Time
	ok   bool
}

// Write takes what ffplay writes: its line of state begins with its clock.
func (c *clock) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range bytes.SplitSeq(b, []byte("\r")) {
		word, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if at, err := strconv.ParseFloat(word, 64); err == nil && at > 0 && bytes.Contains(line, []byte("aq=")) {
			c.at, c.said, c.ok = at, time.Now(), true
		}
	}
	return len(b), nil
}

func inFFplay(ctx context.Context, p *probe, rounds int) error {
	fmt.Println("\n| ffplay, joined | behind after 6 s, s: edge | gop |\n|---|---|---|")
	for _, at := range []time.Duration{1 * time.Second, 4 * time.Second, 7 * time.Second} {
		got := map[string][]float64{}
		for range rounds {
			if err := p.into(ctx, at); err != nil {
				return err
			}
			var both sync.WaitGroup
			var mu sync.Mutex
			for _, join := range []string{"edge", "gop"} {
				both.Go(func() {
					behind, err := ffplay(ctx, p, join)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						fmt.Fprintf(os.Stderr, "edge: ffplay, %s: %v\n", join, err)
						return
					}
					got[join] = append(got[join], behind)
				})
			}
			both.Wait()
		}
		fmt.Printf("| after %.0f s | %s | %s |\n", at.Seconds(), median("%.2f", got["edge"]), median("%.2f", got["gop"]))
	}
	return nil
}

func ffplay(ctx context.Context, p *probe, join string) (behind float64, err error) {
	var c clock
	player, err := startInto(ctx, &c, []string{"SDL_VIDEODRIVER=dummy", "SDL_AUDIODRIVER=dummy"},
		"ffplay", "-hide_banner", "-stats", p.url+"&join="+join)
	if err != nil {
		return 0, err
	}
	defer player.end()
	if err := pause(ctx, 6*time.Second); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ok {
		return 0, errNever
	}
	return p.newest(c.said).Seconds() - c.at, nil
}
