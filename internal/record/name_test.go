package record_test

import (
	"path"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sluice/internal/memtest"
	"sluice/internal/record"
	"sluice/internal/stream"
)

var someTime = time.Date(2026, 11, 22, 15, 4, 5, 678_000_000, time.FixedZone("", 3600))

func TestAFileIsNamedAfterItsStreamAndTime(t *testing.T) {
	t.Parallel()
	const when = "/20261122T140405.678Z.flv"
	for name, want := range map[string]string{
		"live/test":              "live/test" + when,
		"a":                      "a" + when,
		"live/a:b":               "live/a%3Ab" + when,
		"live/Grüße_~@+=,-.x":    "live/Grüße_~@+=,-.x" + when,
		"con":                    "%63on" + when,
		"live/NUL.txt/x":         "live/%4EUL.txt/x" + when,
		"com1":                   "%63om1" + when,
		"lpt9.a.b":               "%6Cpt9.a.b" + when,
		"com":                    "com" + when,
		"com10":                  "com10" + when,
		"console":                "console" + when,
		"x./y...":                "x%2E/y..%2E" + when,
		"a/b.flv/c":              "a/b%2Eflv/c" + when,
		"a/b.FLV":                "a/b%2EFLV" + when,
		"a/.hidden":              "a/.hidden" + when,
		"live/한국어/日本語":           "live/한국어/日本語" + when,
		strings.Repeat("a", 255): strings.Repeat("a", 255) + when,
	} {
		if err := stream.CheckPath(name); err != nil {
			t.Errorf("%q is no stream path: %v", name, err)
		}
		if got := record.FileName(name, someTime, 0); got != want {
			t.Errorf("FileName(%q) = %q, want %q", name, got, want)
		}
	}
	if got := record.FileName("a", someTime, 2); got != "a/20261122T140405.678Z-3.flv" {
		t.Errorf("the third name is %q", got)
	}
}

func TestATemplateNamesFiles(t *testing.T) {
	t.Parallel()
	for template, want := range map[record.Name]string{
		"{path}/{time}.flv":           "cam/con/20261122T140405.678Z.flv",
		"{name}.flv":                  "%63on.flv",
		"all/{date}/{name}-{seq}.flv": "all/2026-11-22/con-0007.flv",
		"{unix}-{id}.flv":             "1795356245-abc.flv",
		"x-{path}.flv":                "x-cam/%63on.flv",
	} {
		var n record.Name
		if err := n.UnmarshalText([]byte(template)); err != nil {
			t.Errorf("%s: %v", template, err)
		}
		if template == "{path}/{time}.flv" {
			want = "cam/%63on/20261122T140405.678Z.flv"
		}
		if got := record.Named(n, "cam/con", someTime, "abc", 7, 0); got != want {
			t.Errorf("%s names %q, want %q", template, got, want)
		}
	}
	if got := record.Named("{name}.flv", "cam/a", someTime, "abc", 1, 1); got != "a-2.flv" {
		t.Errorf("the second name is %q", got)
	}
}

func TestATemplateThatLeadsElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "x", ".flv", "/{path}.flv", "../{path}.flv", "a/../{name}.flv", "./a.flv", "a//b.flv", "{path}/.flv", "{what}.flv", "{path.flv", "path}.flv",
		`a\b.flv`, "a%2Fb.flv", "a:b.flv", "{path}.mp4", "a\x00.flv",
	} {
		var n record.Name
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestNoNameIsTooLongForAFileSystem(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, s := range []string{
		strings.Repeat(":", 255), strings.Repeat(":", 254) + "a", "a" + strings.Repeat(":", 254), "ab" + strings.Repeat(":", 253), strings.Repeat(":", 86),
		strings.Repeat(":", 85), strings.Repeat("ü", 80) + strings.Repeat(":", 95), "x" + strings.Repeat("ü", 80) + strings.Repeat(":", 94),
	} {
		dir := path.Dir(record.FileName(s, someTime, 0))
		if len(dir) > 255 || !utf8.ValidString(dir) || strings.ContainsAny(dir, ":/") {
			t.Errorf("%q becomes %q, %d bytes", s, dir, len(dir))
		}
		if other, ok := seen[dir]; ok {
			t.Errorf("%q and %q share the folder %q", s, other, dir)
		}
		seen[dir] = s
	}
}

func FuzzNoTwoStreamsShareAFolder(f *testing.F) {
	for _, s := range []string{"live/test", "con", "a:b", "a.", "..a", "x.flv/y", strings.Repeat(":", 255)} {
		f.Add(s, "live/other")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if stream.CheckPath(a) != nil || stream.CheckPath(b) != nil {
			return
		}
		memtest.Bound(t, len(a), func() { record.FileName(a, someTime, 0) })
		na, nb := record.FileName(a, someTime, 0), record.FileName(b, someTime, 0)
		if (a == b) != (na == nb) {
			t.Errorf("%q is in %q, %q is in %q", a, na, b, nb)
		}
		for s := range strings.SplitSeq(na, "/") {
			if s == "" || s == "." || s == ".." || len(s) > 255 || strings.ContainsAny(s, "<>:\"\\|?*\x00") || strings.HasSuffix(s, ".") {
				t.Errorf("%q has the segment %q", a, s)
			}
		}
	})
}
