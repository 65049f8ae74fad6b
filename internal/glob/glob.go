// Package glob matches stream paths with patterns, the same everywhere in a
// configuration: "*" stands for anything within a segment, "**" for any number
// of segments, "?" for one character, "[a-z]" for one of several and "{a,b}"
// for either.
package glob

import (
	"fmt"

	"github.com/bmatcuk/doublestar/v4"
)

// Pattern is a pattern that can be read, "live/*" or "cam/**".
type Pattern string

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	if len(text) == 0 || !doublestar.ValidatePattern(string(text)) {
		return fmt.Errorf("%q is no pattern: write live/* for the streams below live, cam/** for all that begin with cam/", text)
	}
	*p = Pattern(text)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p), nil }

// Match tells whether a stream path is one of those that p means. A pattern
// that was never read matches nothing if it is not one.
func (p Pattern) Match(path string) bool {
	ok, err := doublestar.Match(string(p), path)
	return err == nil && ok
}

// Any tells whether a stream path matches one of the patterns.
func Any(patterns []Pattern, path string) bool {
	for _, p := range patterns {
		if p.Match(path) {
			return true
		}
	}
	return false
}
