package stream

import "errors"

// ErrPath is wrapped by every error about a stream path that breaks a rule.
var ErrPath = errors.New("stream: bad stream path")

// The reasons for which a publisher is refused or a stream ends. Each has a
// label for logs, the API and metrics.
var (
	// ErrBusy refuses a second publisher on a live path.
	ErrBusy error = &reason{"bad_name", "the stream path is being published already"}
	// ErrShared refuses a publisher where two keep replacing each other with
	// the same key.
	ErrShared error = &reason{"key_shared", "two encoders share a publish key and keep replacing each other"}
	// ErrReplaced ends a publisher whose path another one has taken over.
	ErrReplaced error = &reason{"replaced", "another publisher has taken over the stream path"}
	// ErrLost ends a stream whose publisher was lost and did not come back in
	// time.
	ErrLost error = &reason{"publisher_lost", "the publisher was lost and did not come back"}
	// ErrUndecodable ends a publisher that sends only what nobody can decode.
	ErrUndecodable error = &reason{"undecodable", "nothing that can be decoded came for too long: audio or video without its configuration"}
	// ErrUnpublished ends a stream whose publisher said that it is over.
	ErrUnpublished error = &reason{"unpublished", "the publisher ended the stream"}
	// ErrChanged ends a stream whose tracks or configurations changed; the
	// next one follows under the same path.
	ErrChanged error = &reason{"config_changed", "the stream's tracks or codec configuration changed"}
	// ErrTimeline ends a stream whose timeline is at its end, after 24 days;
	// the next one follows under the same path, from 0.
	ErrTimeline error = &reason{"timeline_full", "the stream's timeline is at its end, a new one begins"}
	// ErrInternal ends a publisher whose packets met a fault of ours while nobody
	// wrote any; it is wrapped with what the fault was.
	ErrInternal error = &reason{"internal_error", "an internal error was recovered from"}
	// ErrEnded reports that the stream or the publisher is over.
	ErrEnded error = &reason{"ended", "the stream has ended"}
)

// reason is an error with a label.
type reason struct{ label, text string }

func (r *reason) Error() string  { return r.text }
func (r *reason) Reason() string { return r.label }
