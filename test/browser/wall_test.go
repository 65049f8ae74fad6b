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
