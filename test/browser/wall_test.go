package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/tlsfile/tlstest"
	"sluice/test/harness"
)

// wall opens nine tiles at a time, as the players do, and asks for something
// else besides. None is let go before all have got media.
const wall = `(async () => {
  const tile = async () => {
    const resp = await fetch('/flv/live/wall.flv?profile=web&wait=30s');
    const reader = resp.body.getReader();
    for (let got = 0; got < 50000;) {
      const { value, done } = await reader.read();
      if (done) throw new Error('it ended after ' + got);
      got += value.length;
    }
    return reader;
  };
  const tiles = await Promise.all(Array.from({ length: 9 }, tile));
  const health = await fetch('/healthz');
  const spoken = performance.getEntriesByType('navigation')[0].nextHopProtocol;
  await Promise.all(tiles.map((reader) => reader.cancel()));
  return health.status + ' ' + spoken;
})()`

// row opens nine streams over HTTP/1.1 and tells how many get media while none is
// let go, and whether a seventh does when one is.
const row = `(async () => {
  let begun = 0, waiting = [];
  const until = (n) => new Promise((done) => { waiting.push([n, done]); tell(); });
  const tell = () => { waiting = waiting.filter(([n, done]) => begun < n || done()); };
  const leave = Array.from({ length: 9 }, () => new AbortController());
  const tiles = leave.map((one, i) => fetch('/flv/live/wall.flv?profile=web&wait=30s&tile=' + i, { signal: one.signal, cache: 'no-store' })
    .then((resp) => resp.body.getReader().read())
    .then(() => { begun++; leave.began ??= one; tell(); }, () => {}));
  await until(6);
  const left = new Promise((done) => setTimeout(done, 2000)); // nothing says that a request is held back
  await left;
  const first = begun;
  leave.began.abort();
  await until(7);
  leave.forEach((one) => one.abort());
  await Promise.all(tiles);
  return first;
})()`

// sockets opens nine streams over WebSocket; all get media.
const sockets = `(async () => {
  const tile = () => new Promise((done, fail) => {
    const ws = new WebSocket('ws://' + location.host + '/flv/live/wall.flv?wait=30s');
    ws.binaryType = 'arraybuffer';
    let got = 0;
    ws.onmessage = (m) => { if ((got += m.data.byteLength) > 50000) done(ws); };
    ws.onclose = () => fail(new Error('it ended after ' + got));
  });
  const tiles = await Promise.all(Array.from({ length: 9 }, tile));
  tiles.forEach((ws) => { ws.onclose = null; ws.close(); });
  return tiles.length;
})()`

func TestCase117SixTilesPlayOverPlainHTTPAndNineOverWebSocketOrHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, _ := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, "--set", "http.tls.listen=127.0.0.1:0", "--set", "http.tls.cert="+cert, "--set", "http.tls.key="+key)
	_, addr, _ := strings.Cut(s.WaitLine(t, "listening", "proto=https"), "addr=")
	harness.Publish(t, harness.Sources()[0], s.Push("live/wall"))
	c := launch(t, chromedp.Flag("ignore-certificate-errors", true))

	b := c.open(t, "http://"+s.HTTP+"/healthz")
	if got := value[int](b, row); got != 6 {
		t.Errorf("%d of nine streams play over HTTP/1.1", got)
	}
	if got := value[int](b, sockets); got != 9 {
		t.Errorf("%d of nine streams play over WebSocket", got)
	}
	b = c.open(t, "https://"+addr+"/")
	if got := value[string](b, wall); got != "200 h2" {
		t.Errorf("over HTTP/2 the browser says %q", got)
	}
}

func TestAWallOfTilesSharesAConnectionOverHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, _ := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, "--set", "http.tls.listen=127.0.0.1:0", "--set", "http.tls.cert="+cert, "--set", "http.tls.key="+key)
	_, addr, _ := strings.Cut(s.WaitLine(t, "listening", "proto=https"), "addr=")
	harness.Publish(t, harness.Sources()[0], s.Push("live/wall"))

	b := launch(t, chromedp.Flag("ignore-certificate-errors", true)).open(t, "https://"+addr+"/")
	if got := value[string](b, wall); got != "200 h2" {
		t.Errorf("the browser says %q", got)
	}
	b.load(libraries()[0])
	for _, scheme := range []string{"https", "wss"} {
		b.script(`window.player?.destroy(); video.currentTime = 0; reports.length = 0`)
		b.script(`start(mpegts, {type: 'flv', isLive: true, url: '` + scheme + "://" + addr + `/flv/live/wall.flv?profile=web'}, {})`)
		b.until("it plays over "+scheme, `video.currentTime > 1 && video.videoWidth > 0`)
	}
}
