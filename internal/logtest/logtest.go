// Package logtest gives tests the log of what they test.
package logtest

import (
	"bytes"
	"sync"
)

// Log keeps what is written to it, and can be read meanwhile. The zero value is
// ready; it must not be copied. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns what has been written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
