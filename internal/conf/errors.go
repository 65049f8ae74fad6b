package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// origin is the kind of source that a value comes from, the weakest first.
type origin uint8

const (
	fromFile origin = iota + 1
	fromEnv
	fromFlag
)

// place is where something was configured. The zero place is the defaults.
type place struct {
	from      origin
	name      string // of the file, the variable or the flag
	line, col int    // in the file, 0 if unknown
}

func (p place) String() string {
	if p.line == 0 {
		return p.name
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.col)
}

// Error is one mistake in the configuration.
type Error struct {
	// Where is the place of the mistake: "sluice.yaml:3:12", the variable
	// "SLUICE_RTMP_LISTEN" or the flag "--set rtmp.listen". It is empty for
	// what stands nowhere but in the defaults.
	Where string
	// Key is the key in question, "rtmp.listen", empty for the file as a whole.
	Key string
	// Text says what is wrong.
	Text string

	at place
}

// Error returns place, key and text in one line.
func (e *Error) Error() string {
	var parts []string
	for _, s := range []string{e.Where, e.Key, e.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Errors are all mistakes that were found at once: those of the file in the
// order of its lines, then those of the environment, then those of the flags.
type Errors []*Error

// maxLines bounds how many mistakes a text shows: a file that is no
// configuration at all would fill screens.
const maxLines = 100

// Error returns one line for each mistake.
func (e Errors) Error() string {
	var lines []string
	for _, err := range e[:min(len(e), maxLines)] {
		lines = append(lines, err.Error())
	}
	if more := len(e) - maxLines; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single mistakes.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.at.from, b.at.from), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.col, b.at.col))
	})
}
