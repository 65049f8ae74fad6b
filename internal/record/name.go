package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxSegment is the longest name, in bytes, that common file systems
	// accept.
	maxSegment = 255
	// nameHash is how many hexadecimal digits stand for the part of a name
	// that was cut off.
	nameHash = 16
	// timeFormat is the start of a recording in its file's name.
	timeFormat = "20060102T150405.000Z"
	extension  = ".flv"
)

// fileName returns the name of a recording's file, relative to the folder and
// with slashes: one folder per segment of the stream path, and the start time.
// Later attempts, counted by n from 0, carry a number.
func fileName(path string, start time.Time, n int) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = fileSegment(s)
	}
	name := start.UTC().Format(timeFormat)
	if n > 0 {
		name += fmt.Sprintf("-%d", n+1)
	}
	return strings.Join(segments, "/") + "/" + name + extension
}

// fileSegment returns the name of the folder for one segment of a stream path.
// What some file system cannot store is percent-encoded; a percent sign itself
// is no part of a stream path, so that two segments never share a name.
func fileSegment(s string) string {
	var b strings.Builder
	device := isDevice(s)
	for i, r := range s {
		size := utf8.RuneLen(r)
		last := i+size == len(s)
		if !storable(r) || (i == 0 && device) || (last && r == '.') || (r == '.' && strings.EqualFold(s[i:], extension)) {
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		b.WriteRune(r)
	}
	if b.Len() <= maxSegment {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return cut(b.String(), maxSegment-1-nameHash) + "%" + hex.EncodeToString(sum[:])[:nameHash]
}

// cut shortens an encoded name to at most n bytes, not within a rune and not
// within an encoded byte.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	if i := strings.LastIndexByte(s[:n], '%'); i >= 0 && i > n-len("%00") {
		n = i
	}
	return s[:n]
}

// storable tells whether every file system in use can have r in a name.
func storable(r rune) bool {
	return r >= ' ' && r != 0x7f && r != utf8.RuneError && !strings.ContainsRune(`<>:"/\|?*%`, r)
}

// isDevice tells whether Windows takes a name for a device, which it does with
// any extension and in any case.
func isDevice(s string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(s), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, ok := strings.CutPrefix(base, "COM")
	if !ok {
		port, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.ContainsAny(port, "0123456789¹²³")
}

// fold returns what two names have in common that some file system takes for
// the same.
func fold(name string) string { return strings.ToLower(name) }
