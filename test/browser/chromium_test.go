package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"sluice/test/harness"
)

// insecureHost is a name of this machine that no browser takes for a safe one,
// as localhost is.
const insecureHost = "sluice.test"

// chromium is a browser of one test, a process of its own.
type chromium struct{ ctx context.Context } //nolint:containedctx // chromedp keeps the browser in it

// launch starts a browser, which ends with the test.
func launch(t *testing.T, further ...chromedp.ExecAllocatorOption) chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Debian's package chromium is needed: make deps")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 900),
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("host-resolver-rules", "MAP "+insecureHost+" 127.0.0.1"),
	}
	for _, quiet := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage",
		"disable-background-timer-throttling", "disable-renderer-backgrounding", "disable-backgrounding-occluded-windows",
	} {
		options = append(options, chromedp.Flag(quiet, true))
	}
	options = append(options, further...)
	// The test's own context ends before the clean-up, too early to close a
	// browser in order.
	alloc, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, _ := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("closing chromium: %v", err)
		}
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	return chromium{ctx}
}

// tab is one page in the browser and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu       sync.Mutex // guards all below
	requests []string
	faults   []string
}

// open opens an address in a new tab, which closes with the test. Exceptions
// and violations of the page's policy fail the test.
func (c chromium) open(t *testing.T, address string) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, end := chromedp.NewContext(c.ctx, chromedp.WithListener(b.listen))
	b.ctx = ctx
	t.Cleanup(func() {
		end()
		for _, fault := range b.all(&b.faults) {
			t.Errorf("in the page: %s", fault)
		}
	})
	if err := chromedp.Do(ctx); err != nil { // without a bound: the tab would end with it
		t.Fatalf("opening a tab: %v", err)
	}
	b.do(chromedp.Navigate(address))
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.Method+" "+e.Request.URL)
	case *network.EventWebSocketCreated:
		b.requests = append(b.requests, "GET "+e.URL)
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.faults = append(b.faults, text)
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
			b.faults = append(b.faults, e.Entry.Text)
		}
	}
}

func (b *tab) all(list *[]string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(*list)
}

// requested returns the first request, so far, that has all those parts.
func (b *tab) requested(parts ...string) string {
	for _, r := range b.all(&b.requests) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) }) {
			return r
		}
	}
	return ""
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, chromedp.Steps(steps...))
}

func run[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, harness.Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("chromium: %v", err)
	}
	return v
}

// script runs JavaScript in the page.
func (b *tab) script(code string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](code))
}

// value returns what a JavaScript expression gives, or its promise.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until a JavaScript expression is true in the page.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, harness.Patience)
	defer cancel()
	poll := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(0))
	if _, err := chromedp.Run(ctx, poll); err != nil {
		b.t.Fatalf("waiting until %s: %v\nin the page: %s", what, err, value[string](b, "document.body.innerText"))
	}
}

// click clicks the element that is, or becomes, visible under a selector.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// see waits until an element shows a text.
func (b *tab) see(selector, part string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s says %q", selector, part), fmt.Sprintf(
		"(e => e && e.checkVisibility() && e.innerText.includes(%q))(document.querySelector(%q))", part, selector))
}

// bright tells how much of an element's picture on the screen is neither black
// nor dark, from 0 to 1.
func (b *tab) bright(selector string) float64 {
	b.t.Helper()
	picture, err := png.Decode(bytes.NewReader(run(b, chromedp.Screenshot(chromedp.CSS(selector)))))
	if err != nil {
		b.t.Fatal(err)
	}
	return brightness(picture)
}

func brightness(picture image.Image) float64 {
	const dark = 0x3000
	bounds, n := picture.Bounds(), 0
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if r, g, bl, _ := picture.At(x, y).RGBA(); max(r, g, bl) > dark {
				n++
			}
		}
	}
	return float64(n) / float64(bounds.Dx()*bounds.Dy())
}
