package glob_test

import (
	"testing"

	"sluice/internal/glob"
)

func TestAPatternMeansWholePaths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"live/*", "live/test", true},
		{"live/*", "live", false},
		{"live/*", "live/a/b", false},
		{"live/*", "other/live/a", false},
		{"cam/**", "cam/a", true},
		{"cam/**", "cam/a/b/c", true},
		{"cam/**", "camera/a", false},
		{"**", "a/b/c", true},
		{"**/main", "a/b/main", true},
		{"**/main", "main", true},
		{"*", "a", true},
		{"*", "a/b", false},
		{"live/cam-?", "live/cam-1", true},
		{"live/cam-[0-4]", "live/cam-5", false},
		{"{live,cam}/*", "cam/1", true},
		{"live/Grüße*", "live/Grüße-2", true},
		{"live/te", "live/test", false},
	} {
		var p glob.Pattern
		if err := p.UnmarshalText([]byte(tc.pattern)); err != nil {
			t.Errorf("%q: %v", tc.pattern, err)
		}
		if got := glob.Any([]glob.Pattern{"nothing", p}, tc.path); got != tc.want {
			t.Errorf("%q matches %q: %v, want %v", tc.pattern, tc.path, got, tc.want)
		}
		if text, err := p.MarshalText(); err != nil || string(text) != tc.pattern {
			t.Errorf("MarshalText() = %q, %v", text, err)
		}
	}
}

func TestWhatIsNoPatternIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "live/[", "live/{a", `live/\`} {
		var p glob.Pattern
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a pattern", text)
		}
		if glob.Pattern(text).Match("live/a") {
			t.Errorf("%q matches", text)
		}
	}
}
