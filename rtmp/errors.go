package rtmp

import "fmt"

// Error is one of the ways in which a peer breaks a connection. Its values
// are the sentinels of this package, which are wrapped with what happened.
type Error struct{ label, text string }

// Error returns the text for people.
func (e *Error) Error() string { return e.text }

// Reason returns the label of the error in snake_case.
func (e *Error) Reason() string { return e.label }

// Errors that end a connection.
var (
	// ErrNotRTMP reports that the peer's first byte is not that of RTMP; the
	// error in the tree is a [VersionError].
	ErrNotRTMP = &Error{"not_rtmp", "rtmp: the peer does not speak RTMP"}
	// ErrHandshake reports a server whose signature does not verify.
	ErrHandshake = &Error{"bad_handshake", "rtmp: the handshake does not verify"}
	// ErrProtocol reports bytes that no message can be made of.
	ErrProtocol = &Error{"protocol_error", "rtmp: protocol violation"}
	// ErrLimit reports a peer that asks for more than it may have.
	ErrLimit = &Error{"limit_exceeded", "rtmp: limit exceeded"}
)

// VersionError reports the first byte of a peer that does not speak plain
// RTMP. It is an [ErrNotRTMP].
type VersionError struct{ Version uint8 }

// Error says what the byte looks like.
func (e VersionError) Error() string {
	if p := e.Protocol(); p != "" {
		return fmt.Sprintf("%v: first byte %#02x looks like %s", ErrNotRTMP, e.Version, p)
	}
	return fmt.Sprintf("%v: first byte %#02x", ErrNotRTMP, e.Version)
}

// Unwrap returns [ErrNotRTMP].
func (e VersionError) Unwrap() error { return ErrNotRTMP }

// Protocol names what begins with such a byte: "HTTP", "TLS", "RTMPE", or ""
// for nothing that is known.
func (e VersionError) Protocol() string {
	switch e.Version {
	case 0x06, 0x08, 0x09:
		return "RTMPE"
	case 0x16:
		return "TLS"
	case 'C', 'D', 'G', 'H', 'O', 'P', 'T': // the first letters of HTTP's methods
		return "HTTP"
	}
	return ""
}
