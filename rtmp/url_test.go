package rtmp_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/memtest"
	"sluice/rtmp"
)

func bufioReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

type located struct {
	tcURL, app, name string
	path, query      string
	split            bool
}

func (l located) check(t *testing.T) {
	t.Helper()
	loc, err := rtmp.Locate(l.tcURL, l.app, l.name)
	if err != nil {
		t.Errorf("Locate(%q, %q, %q) error = %v", l.tcURL, l.app, l.name, err)
		return
	}
	want := rtmp.Location{Path: l.path, Query: url.Values{}, Split: l.split}
	for pair := range strings.SplitSeq(l.query, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			want.Query.Set(key, value)
		}
	}
	if diff := cmp.Diff(want, loc); diff != "" {
		t.Errorf("Locate(%q, %q, %q) (-want +got):\n%s", l.tcURL, l.app, l.name, diff)
	}
}

func TestCase055EncodersSpellOneStreamInManyWays(t *testing.T) {
	t.Parallel()
	for _, l := range []located{
		{tcURL: "rtmp://h:1935/live", app: "live", name: "cam1?token=abc", path: "live/cam1", query: "token=abc"},            // ffmpeg
		{tcURL: "rtmp://h/live?token=abc", app: "live?token=abc", name: "cam1", path: "live/cam1", query: "token=abc"},       // OBS, in the server
		{tcURL: "rtmp://h/live", app: "live", name: "cam1?token=abc", path: "live/cam1", query: "token=abc"},                 // OBS, in the key
		{tcURL: "rtmp://h/live/", app: "live/", name: "/cam1", path: "live/cam1"},                                            // slashes
		{app: "live//", name: "//cam1/", path: "live/cam1"},                                                                  //
		{app: " live ", name: " cam1 ", path: "live/cam1"},                                                                   // pasted
		{app: "live/_definst_", name: "cam1", path: "live/cam1"},                                                             // Flash
		{app: "live?token=t", name: "cam1", tcURL: "rtmp://h:1935/live?token=t", path: "live/cam1", query: "token=t"},        //
		{app: "live", name: "cam1?u=http://x/y", path: "live/cam1", query: "u=http://x/y"},                                   //
		{app: "live", name: "mp4:x.mp4", path: "live/x.mp4"},                                                                 //
		{app: "live", name: "/mp4:a/b.mp4?t=1", path: "live/a/b.mp4", query: "t=1"},                                          //
		{app: "live", name: "mp3:x", path: "live/x"},                                                                         //
		{app: "live", name: "flv:x", path: "live/x"},                                                                         //
		{app: "live?a=1&b=2", name: "cam1?b=3", tcURL: "rtmp://h/live?a=0&c=9", path: "live/cam1", query: "a=1&b=3&c=9"},     // later wins
		{app: "live", name: "cam1?token=a+b%2Fc%3D&x&=y&token2=%zz", path: "live/cam1", query: "token=a+b/c=&x=&token2=%zz"}, // base64
		{app: "live", name: "cam1?", path: "live/cam1"},                                                                      //
		{app: "live", name: "cam1?a=b?c", path: "live/cam1", query: "a=b?c"},                                                 //
	} {
		l.check(t)
	}
}

func TestCase057SegmentsOfApplicationAndNameMakeOnePath(t *testing.T) {
	t.Parallel()
	for _, l := range []located{
		{app: "a/b", name: "c/d", path: "a/b/c/d"},
		{app: "live/cam1", name: "", path: "live/cam1"},
		{app: "live/cam1?token=t", name: "", path: "live/cam1", query: "token=t"}, // an empty key of OBS is no trap
		{app: "live", name: "", path: "live"},
		{app: "live", name: "?token=t", path: "live", query: "token=t"},
	} {
		l.check(t)
	}
}

func TestTokenThatWasSplitIsHintedAt(t *testing.T) {
	t.Parallel()
	for _, l := range []located{
		{app: "live/cam1?token=a", name: "b", tcURL: "rtmp://h:1935/live/cam1?token=a", path: "live/cam1/b", query: "token=a", split: true},
		{app: "live?token=a", name: "cam1", path: "live/cam1", query: "token=a"},
	} {
		l.check(t)
	}
}

func TestNamesBeyondTheLimitsAreRefused(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]located{
		"name":         {app: "live", name: strings.Repeat("n", rtmp.MaxName)},
		"app":          {app: strings.Repeat("n", rtmp.MaxName+1)},
		"query":        {app: "live", name: "cam1?" + strings.Repeat("q", rtmp.MaxQuery+1)},
		"query of app": {app: "live?" + strings.Repeat("q", rtmp.MaxQuery+1), name: "cam1"},
		"query of URL": {tcURL: "rtmp://h/live?" + strings.Repeat("q", rtmp.MaxQuery+1), app: "live", name: "cam1"},
	} {
		if loc, err := rtmp.Locate(l.tcURL, l.app, l.name); !errors.Is(err, rtmp.ErrName) {
			t.Errorf("%s: Locate() = %v, %v; want %v", name, loc.Path, err, rtmp.ErrName)
		}
	}
}

func TestURLOfAClientIsRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]rtmp.URL{
		"rtmp://host/live/test":                  {Host: "host:1935", App: "live", Name: "test"},
		"rtmps://host/live/test":                 {TLS: true, Host: "host:443", App: "live", Name: "test"},
		"RTMPS://host:1936/live/test?token=abc":  {TLS: true, Host: "host:1936", App: "live", Name: "test?token=abc"},
		"RTMP://host:1936/live/a/b?token=x/y+z=": {Host: "host:1936", App: "live", Name: "a/b?token=x/y+z="},
		"rtmp://[::1]/live/test":                 {Host: "[::1]:1935", App: "live", Name: "test"},
		"rtmp://[::1]:19350/live/test/":          {Host: "[::1]:19350", App: "live", Name: "test"},
		"rtmp://host/live":                       {Host: "host:1935", App: "live"},
		"rtmp://host/live?token=t":               {Host: "host:1935", App: "live", Name: "?token=t"},
		"rtmp://host//live//test":                {Host: "host:1935", App: "live", Name: "test"},
		"rtmp://host/live/客厅":                    {Host: "host:1935", App: "live", Name: "客厅"},
		"rtmp://host/live/%41":                   {Host: "host:1935", App: "live", Name: "%41"},
		"rtmp://host/live/3402@34":               {Host: "host:1935", App: "live", Name: "3402@34"},
	} {
		got, err := rtmp.ParseURL(in)
		if err != nil {
			t.Errorf("ParseURL(%q) error = %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseURL(%q) (-want +got):\n%s", in, diff)
		}
		want := "rtmp://" + got.Host + "/live"
		if got.TLS {
			want = "rtmps://" + got.Host + "/live"
		}
		if got.TCURL() != want {
			t.Errorf("TCURL() = %q, want %q", got.TCURL(), want)
		}
	}
}

func TestURLThatCannotBeUsedIsRefusedWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "rtmp", "rtmp://", "rtmp:///live/secret", "http://host/live?token=secret", "rtmps://secret@host/live/test",
		"rtmp://host", "rtmp://host/", "rtmp://host?token=secret", "rtmp://user:secret@host/live/test", "rtmp://host:port/live/test",
		"rtmp://host/live/test#secret?secret", "rtmp://us er:secret@host/live", "rtmp://host/live/" + strings.Repeat("n", rtmp.MaxName),
	} {
		got, err := rtmp.ParseURL(in)
		if !errors.Is(err, rtmp.ErrName) {
			t.Errorf("ParseURL(%q) = %v, %v; want %v", in, got, err, rtmp.ErrName)
		}
		if err != nil && strings.Contains(err.Error(), "secret") && !strings.Contains(in, "#") {
			t.Errorf("ParseURL(%q) error tells the secret: %v", in, err)
		}
	}
	u, err := rtmp.ParseURL("rtmp://host/live/a@b?token=secret")
	if err != nil || u.String() != "rtmp://host:1935/live/a@b" {
		t.Errorf("String() = %q, %v", u.String(), err)
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("rtmp://h/live?a=1", "live/cam1?token=a", "b?c=%2f")
	f.Add("", "live/_definst_", "mp4:cam1.mp4")
	f.Add("?", "?&&", "//../%2e%2e?=")
	f.Fuzz(func(t *testing.T, tcURL, app, name string) {
		memtest.Bound(t, len(tcURL)+len(app)+len(name), func() { _, _ = rtmp.Locate(tcURL, app, name) })
		loc, err := rtmp.Locate(tcURL, app, name)
		if err != nil {
			if !errors.Is(err, rtmp.ErrName) {
				t.Fatalf("Locate() error = %v", err)
			}
			return
		}
		for seg := range strings.SplitSeq(loc.Path, "/") {
			if strings.Contains(seg, "?") || seg == "_definst_" || seg == "" && loc.Path != "" {
				t.Fatalf("Locate(%q, %q, %q) gives the segment %q", tcURL, app, name, seg)
			}
		}
		again, err := rtmp.Locate("", loc.Path, "")
		if err != nil || again.Path != strings.Join(strings.FieldsFunc(strings.Trim(loc.Path, " "), func(r rune) bool { return r == '/' }), "/") {
			t.Fatalf("Locate(%q) = %q, %v", loc.Path, again.Path, err)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	f.Add("rtmp://host/live/test?token=x")
	f.Add("rtmp://[::1]:1935/live")
	f.Add("@" + strings.Repeat("\xe5", 4100))
	f.Add("rtmp://[::1]" + strings.Repeat("\x83", 2480))
	f.Fuzz(func(t *testing.T, s string) {
		memtest.Bound(t, len(s), func() { _, _ = rtmp.ParseURL(s) })
		u, err := rtmp.ParseURL(s)
		if err != nil {
			return
		}
		again, err := rtmp.ParseURL(u.TCURL() + "/" + u.Name)
		if err != nil || again != u {
			t.Fatalf("ParseURL(%q) = %+v, which reads as %+v, %v", s, u, again, err)
		}
	})
}
