package record

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// State tells how far a recording is.
type State string

// The states. Armed and Reconnecting recordings wait for a publisher.
const (
	Armed        State = "armed"
	Running      State = "recording"
	Reconnecting State = "reconnecting"
	Finished     State = "finished"
	Recovered    State = "recovered" // cut off by the end of the process, made whole at the next start
	Failed       State = "failed"

	idle State = "idle" // of a stream without a recording
)

// open tells whether the recording has not ended yet.
func (s State) open() bool { return s == Armed || s == Running || s == Reconnecting }

// known tells whether s is the state of a recording.
func (s State) known() bool {
	switch s {
	case Armed, Running, Reconnecting, Finished, Recovered, Failed:
		return true
	default:
		return false
	}
}

// phase returns the state, or one word for all states before the end.
func (s State) phase() string {
	if s.open() {
		return phaseOpen
	}
	return string(s)
}

// Facts is what is known of one recording, as the API and the catalogue have
// it.
type Facts struct {
	ID         string     `json:"id"`
	StreamPath string     `json:"streamPath"`
	State      State      `json:"state"`
	File       string     `json:"file"` // relative to the folder, with slashes
	StartedAt  time.Time  `json:"startedAt"`
	EndedAt    *time.Time `json:"endedAt"` // nil while it is open
	DurationMs int64      `json:"durationMs"`
	Bytes      int64      `json:"bytes"`
	Error      string     `json:"error"`            // why it failed
	Gaps       int        `json:"gaps,omitempty"`   // how often the disk was too slow
	LostMs     int64      `json:"lostMs,omitempty"` // of media, in these gaps

	Remote *Remote `json:"remote,omitempty"` // nil as long as nobody has begun to upload it

	repairing bool // its file is being made whole
}

// busy tells whether somebody writes to the file.
func (f *Facts) busy() bool { return f.State.open() || f.repairing }

// end sets how the recording ended.
func (f *Facts) end(s State, at time.Time, err error) {
	at = instant(at)
	f.State, f.EndedAt = s, &at
	if err != nil {
		f.Error = err.Error()
	}
}

// miss sets what is missing in the file.
func (f *Facts) miss(g gaps) { f.Gaps, f.LostMs = g.n, g.lost.Milliseconds() }

// newID returns an id that sorts by the time of the recording's start.
func newID(start time.Time) string {
	return fmt.Sprintf("%012x%08x", start.UnixMilli(), rand.Uint32())
}

// place returns where the recording stands in a listing: text that sorts by the
// time of the start, which for one that was armed is not that of its id. It has
// the form of an id.
func (f *Facts) place() string { return placeAt(f.StartedAt) + f.ID[idLen-8:] }

// placeAt returns what the places of recordings begin with that began then.
func placeAt(t time.Time) string { return fmt.Sprintf("%012x", max(0, t.UnixMilli())) }

// idLen is the length of an id.
const idLen = 20

// isID tells whether s looks like an id.
func isID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// instant returns t as the API shows it: whole milliseconds in UTC.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
