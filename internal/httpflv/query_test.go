package httpflv

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/internal/memtest"
	"sluice/internal/rendition"
)

func FuzzQuery(f *testing.F) {
	f.Add("wait=5s&join=gop&profile=web")
	f.Add("track=all&audio=off&video=on&hevc=legacy&wait=%30s")
	f.Add("join=never&a=b&&=;")
	f.Add("wait=1s&wait=%zz&" + strings.Repeat("a&", 1000))
	f.Add("wait=5" + strings.Repeat("\xd0", 4000))
	cfg := DefaultConfig()
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{}}
		memtest.Bound(t, len(query), func() { _, _ = cfg.parseAsk(r) })
		a, err := cfg.parseAsk(r)
		if err == nil && (a.Wait < 0 || a.Wait > rendition.MaxWait) {
			t.Fatalf("%q waits for %v", query, a.Wait)
		}
		if len(query) > maxQuery {
			return
		}
		all, parseErr := url.ParseQuery(query)
		if parseErr != nil && err == nil {
			t.Fatalf("%q is taken: %v", query, parseErr)
		}
		for _, name := range []string{"wait", "join", "a"} {
			v, ok, err := lastOf(query, name)
			if (err == nil) != (parseErr == nil) {
				t.Fatalf("%q: %v and %v", query, err, parseErr)
			}
			if vs := all[name]; err == nil && (ok != (len(vs) > 0) || ok && v != vs[len(vs)-1]) {
				t.Fatalf("%s in %q is %q, %v; want %q", name, query, v, ok, vs)
			}
		}
	})
}
