package stream_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/internal/memtest"
	"sluice/internal/stream"
)

func TestPathsAreReadAsTheyStandInURLs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", stream.MaxPathLen)
	tests := []struct{ name, escaped, want string }{
		{"one segment", "test", "test"},
		{"two segments", "live/test", "live/test"},
		{"four segments", "a/b/c/d", "a/b/c/d"},
		{"suffix", "live/test.flv", "live/test"},
		{"suffix is cut once", "live/test.flv.flv", "live/test.flv"},
		{"suffix in the middle stays", "live.flv/test", "live.flv/test"},
		{"encoded suffix", "live/test%2Eflv", "live/test"},
		{"suffix of another case is a name", "live/test.FLV", "live/test.FLV"},
		{"every mark", "a._~@+=,:-z", "a._~@+=,:-z"},
		{"encoded marks", "a%40b%2Bc%3A", "a@b+c:"},
		{"plus is no space", "a+b", "a+b"},
		{"decoded once", "%6C%69ve/t", "live/t"},
		{"UTF-8", "客厅", "客厅"},
		{"encoded UTF-8", "%E5%AE%A2%E5%8E%85", "客厅"},
		{"normal form C", "caf\u00e9", "caf\u00e9"},
		{"digits of other scripts", "٣", "٣"},
		{"GB/T 28181", "34020000001320000001@3402", "34020000001320000001@3402"},
		{"dots inside a name", "a..b/...", "a..b/..."},
		{"record further back", "live/record", "live/record"},
		{"record as part of a name", "recorder/record.", "recorder/record."},
		{"record in capitals", "Record/x", "Record/x"},
		{"255 bytes", long, long},
		{"255 bytes and the suffix", long + ".flv", long},
		{"255 bytes, each of them encoded", strings.Repeat("%61", stream.MaxPathLen), long},
		{"255 bytes and the suffix, each of them encoded", strings.Repeat("%61", stream.MaxPathLen) + "%2e%66%6c%76", long},
		{"255 bytes in segments", strings.Repeat("a/", 127) + "a", strings.Repeat("a/", 127) + "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := stream.ParsePath(tt.escaped)
			if err != nil || got != tt.want {
				t.Errorf("ParsePath(%q) = %q, %v, want %q", tt.escaped, got, err, tt.want)
			}
		})
	}
}

func TestBadPathsAreRefusedWithTheRuleTheyBreak(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, escaped, rule string }{
		{"empty", "", "an empty segment"},
		{"suffix alone", ".flv", "an empty segment"},
		{"suffix as a segment", "live/.flv", "an empty segment"},
		{"leading slash", "/live/test", "an empty segment"},
		{"trailing slash", "live/test/", "an empty segment"},
		{"two slashes", "live//test", "an empty segment"},
		{"dot", "live/./test", `a segment "."`},
		{"dot dot", "live/../test", `a segment ".."`},
		{"dot dot alone", "..", `a segment ".."`},
		{"dot dot before the suffix", "live/...flv", `a segment ".."`},
		{"encoded dot", "live/%2e/test", `a segment "."`},
		{"encoded dot dot", "%2e%2E/etc", `a segment ".."`},
		{"half encoded dot dot", ".%2e", `a segment ".."`},
		{"twice encoded dot", "live/%252e", `the character '%'`},
		{"twice encoded dot dot", "%252e%252e/etc", `the character '%'`},
		{"encoded slash", "live%2Ftest", "an encoded '/'"},
		{"encoded slash in lower case", "live%2ftest", "an encoded '/'"},
		{"encoded backslash", "live%5Ctest", `the character '\\'`},
		{"NUL", "live\x00", `the character '\x00'`},
		{"encoded NUL", "live%00", `the character '\x00'`},
		{"line end", "live%0d%0a", `the character '\r'`},
		{"space", "live%20test", `the character ' '`},
		{"question mark", "live%3Ftoken", `the character '?'`},
		{"asterisk", "live/*", `the character '*'`},
		{"emoji", "😀", `the character '😀'`},
		{"invisible", "a\u200bb", `the character '\u200b'`},
		{"override of direction", "a\u202eb", `the character '\u202e'`},
		{"replacement character", "a\ufffdb", `the character '�'`},
		{"normal form D", "cafe\u0301", "not in Unicode normal form C"},
		{"compatible character that NFC replaces", "\u212b", "not in Unicode normal form C"},
		{"not UTF-8", "a\xff", "not UTF-8"},
		{"encoded, not UTF-8", "a%ff", "not UTF-8"},
		{"overlong encoding of a dot", "%c0%ae%c0%ae", "not UTF-8"},
		{"percent alone", "a%", "a '%' without two hexadecimal digits"},
		{"percent and one digit", "a%2", "a '%' without two hexadecimal digits"},
		{"percent and no digits", "a%zz", "a '%' without two hexadecimal digits"},
		{"300 bytes", strings.Repeat("a", 300), "more than 255 bytes"},
		{"256 bytes", strings.Repeat("a", 256), "more than 255 bytes"},
		{"255 characters that are more bytes", strings.Repeat("é", 255), "more than 255 bytes"},
		{"a megabyte", strings.Repeat("%61", 1<<20), "more than 255 bytes"},
		{"record", "record", `the first segment "record" is reserved`},
		{"record with suffix", "record.flv", `the first segment "record" is reserved`},
		{"record of something", "record/live/test", `the first segment "record" is reserved`},
		{"encoded record", "%72ecord/live", `the first segment "record" is reserved`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := stream.ParsePath(tt.escaped)
			if !errors.Is(err, stream.ErrPath) || got != "" {
				t.Fatalf("ParsePath(%.40q) = %q, %v, want ErrPath", tt.escaped, got, err)
			}
			if want := stream.ErrPath.Error() + ": " + tt.rule; err.Error() != want {
				t.Errorf("ParsePath(%.40q) error = %q, want %q", tt.escaped, err, want)
			}
		})
	}
}

func TestDecodedPathsAreCheckedWithoutDecodingOrCutting(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"live/test", "live/test.flv", ".flv", "客厅/客厅", strings.Repeat("a", 255)} {
		if err := stream.CheckPath(good); err != nil {
			t.Errorf("CheckPath(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{"", "/", "a/", "/a", "a//b", ".", "a/..", "%61", "a b", "record", "record/a", "cafe\u0301", "\xff", strings.Repeat("a", 256)} {
		if err := stream.CheckPath(bad); !errors.Is(err, stream.ErrPath) {
			t.Errorf("CheckPath(%q) = %v, want ErrPath", bad, err)
		}
	}
}

func TestARegistryRefusesABadPath(t *testing.T) {
	t.Parallel()
	r := stream.NewRegistry(stream.DefaultLimits())
	if p, err := r.Publish("record/x"); !errors.Is(err, stream.ErrPath) || p != nil {
		t.Errorf("Publish() = %v, %v, want ErrPath", p, err)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{
		"live/test", "live/test.flv.flv", "%2e%2e/%252e", "a//b", "live%2Ftest", "客厅", "cafe\u0301",
		"34020000001320000001@3402", "record/x", "a%00", "a\xff%ff", strings.Repeat("a", 300),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		memtest.Bound(t, len(escaped), func() { _, _ = stream.ParsePath(escaped) })
		got, err := stream.ParsePath(escaped)
		if err != nil {
			if !errors.Is(err, stream.ErrPath) || got != "" {
				t.Fatalf("ParsePath(%q) = %q, %v: neither a path nor ErrPath", escaped, got, err)
			}
			return
		}
		if err := stream.CheckPath(got); err != nil {
			t.Fatalf("ParsePath(%q) = %q, which CheckPath refuses: %v", escaped, got, err)
		}
		// A path has no '%', so that it is its own escaped form.
		again, err := stream.ParsePath(got + ".flv")
		if err != nil || again != got {
			t.Fatalf("ParsePath(%q) = %q, which itself is read as %q, %v", escaped, got, again, err)
		}
	})
}
