package conformance_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/tlsfile/tlstest"
	"sluice/test/harness"
)

// TestEveryFileComesByRTMPAsByHTTP compares RTMP and RTMPS with HTTP, which
// other tests compare with what was sent: each message, its time and its bytes.
func TestEveryFileComesByRTMPAsByHTTP(t *testing.T) {
	t.Parallel()
	cert, key, _ := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, harness.SecureRTMP(cert, key)...)
	for _, name := range everyFile(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			path := "rtmp/" + name
			p := harness.Connect(t, s.Push(path))
			opening := harness.Opening(sent)
			p.Send(t, sent[:opening]...)

			byHTTP := harness.Watch(t, s.Play("http", path+".flv?wait=30s&join=gop&track=all"))
			byHTTP.Begin(t)
			players := map[string]*harness.Player{
				"RTMP":  harness.PlayRTMP(t, s.Push(path+"?join=gop")),
				"RTMPS": harness.PlayRTMP(t, s.PushTLS(t, path+"?join=gop")),
			}
			p.Send(t, sent[opening:]...)
			p.Finish(t)

			body, err := byHTTP.Rest()
			if err != nil {
				t.Fatal(err)
			}
			_, want := harness.ReadTags(t, bytes.NewReader(body))
			if len(want) < 3 {
				t.Fatalf("%d tags by HTTP", len(want))
			}
			for way, player := range players {
				if diff := cmp.Diff(want, player.Rest(t), cmp.Comparer(equalTags)); diff != "" {
					t.Errorf("%s gives others than HTTP (-HTTP +%s):\n%.2000s", way, way, diff)
				}
			}
		})
	}
}

func equalTags(a, b flv.Tag) bool {
	return a.Type == b.Type && a.DTS == b.DTS && bytes.Equal(a.Body, b.Body)
}
