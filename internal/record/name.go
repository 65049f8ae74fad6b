package record

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
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
	// maxSuffix is the longest that follows a file's name.
	maxSuffix = len("-") + idLen + len(extension)
)

// defaultName is the template of a file's name: one folder per segment of the
// stream path, and the time of the start.
const defaultName Name = "{path}/{time}.flv"

// Name is the template of the names of files, relative to the folder and with
// slashes: text with placeholders, such as "{path}/{time}.flv".
type Name string

// naming is what the placeholders of a [Name] stand for.
type naming struct {
	path  string // of the stream
	start time.Time
	id    string
	seq   int // of the file among the segments of its recording, from 1
}

// value returns what a placeholder stands for.
func (n naming) value(placeholder string) (value string, ok bool) {
	start := n.start.UTC()
	switch placeholder {
	case "path":
		return n.path, true
	case "name":
		return n.path[strings.LastIndexByte(n.path, '/')+1:], true
	case "time":
		return start.Format(timeFormat), true
	case "date":
		return start.Format(time.DateOnly), true
	case "unix":
		return strconv.FormatInt(start.Unix(), 10), true
	case "id":
		return n.id, true
	case "seq":
		return fmt.Sprintf("%04d", n.seq), true
	default:
		return "", false
	}
}

// UnmarshalText reads a template.
func (t *Name) UnmarshalText(text []byte) error {
	if err := Name(text).check(); err != nil {
		return err
	}
	*t = Name(text)
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (t Name) MarshalText() ([]byte, error) { return []byte(t), nil }

// check tells what is wrong with a template. Whatever the streams are called,
// one that is right gives names within the folder.
func (t Name) check() error {
	base, ok := strings.CutSuffix(string(t), extension)
	if !ok {
		return fmt.Errorf("must end with %s", extension)
	}
	literal, err := expand(base, func(p string) (string, bool) {
		_, ok := naming{path: "x"}.value(p)
		return "x", ok
	})
	if err != nil {
		return err
	}
	for segment := range strings.SplitSeq(literal, "/") {
		switch segment {
		case "":
			return errors.New("must be relative to record.dir, without empty names between slashes")
		case ".", "..":
			return fmt.Errorf("%q leads somewhere else", segment)
		}
		if i := strings.IndexFunc(segment, func(r rune) bool { return !storable(r) }); i >= 0 {
			r, _ := utf8.DecodeRuneInString(segment[i:])
			return fmt.Errorf("%q cannot be part of a name on every file system", r)
		}
	}
	return nil
}

// expand replaces the placeholders of a text.
func expand(text string, value func(placeholder string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return "", errors.New("a } without its {")
		}
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		placeholder, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("a { without its }")
		}
		v, ok := value(placeholder)
		if !ok {
			return "", fmt.Errorf("{%s} is none of {path}, {name}, {time}, {date}, {unix}, {id}, {seq}", placeholder)
		}
		b.WriteString(v)
		text = after
	}
}

// file returns the name of a file. Later attempts, counted by attempt from 0,
// carry a number; the last one that is worth making carries the id.
func (t Name) file(n naming, attempt int) string {
	text, err := expand(strings.TrimSuffix(string(t), extension), n.value)
	if err != nil { // it was checked
		text = n.path + "/" + n.id
	}
	segments := strings.Split(text, "/")
	last := len(segments) - 1
	for i, s := range segments[:last] {
		segments[i] = fileSegment(s, maxSegment)
	}
	suffix := extension
	switch {
	case attempt == maxNames-1:
		suffix = "-" + n.id + extension
	case attempt > 0:
		suffix = fmt.Sprintf("-%d%s", attempt+1, extension)
	}
	segments[last] = fileSegment(segments[last], maxSegment-maxSuffix) + suffix
	return strings.Join(segments, "/")
}

// fileSegment returns the name of the folder for one segment of a stream path.
// What some file system cannot store is percent-encoded; a percent sign itself
// is no part of a stream path, so that two segments never share a name.
// It has at most that many bytes.
func fileSegment(s string, most int) string {
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
	if b.Len() <= most {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return cut(b.String(), most-1-nameHash) + "%" + hex.EncodeToString(sum[:])[:nameHash]
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
