package stream

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxPathLen is the longest stream path in bytes.
const MaxPathLen = 255

// reservedSegment cannot begin a path: /flv/record/ is the recording API.
const reservedSegment = "record"

// ParsePath reads a stream path as it stands in a URL: each segment is
// percent-decoded once, one trailing ".flv" is cut, and the result checked
// with [CheckPath].
func ParsePath(escaped string) (string, error) {
	if len(escaped) > 3*(MaxPathLen+len(".flv")) {
		return "", fmt.Errorf("%w: more than %d bytes", ErrPath, MaxPathLen)
	}
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return "", fmt.Errorf("%w: a '%%' without two hexadecimal digits", ErrPath)
		}
		if strings.Contains(plain, "/") {
			return "", fmt.Errorf("%w: an encoded '/'", ErrPath)
		}
		segments[i] = plain
	}
	path := strings.TrimSuffix(strings.Join(segments, "/"), ".flv")
	if err := CheckPath(path); err != nil {
		return "", err
	}
	return path, nil
}

// CheckPath tells whether a decoded path may name a stream: one or more
// segments separated by "/", of letters, digits and "._~@+=,:-" in Unicode's
// normal form C, none of them empty, "." or "..", 255 bytes in all, the first
// not "record". The error wraps [ErrPath] and says which rule is broken.
func CheckPath(path string) error {
	switch {
	case len(path) > MaxPathLen:
		return fmt.Errorf("%w: more than %d bytes", ErrPath, MaxPathLen)
	case !utf8.ValidString(path):
		return fmt.Errorf("%w: not UTF-8", ErrPath)
	case !norm.NFC.IsNormalString(path):
		return fmt.Errorf("%w: not in Unicode normal form C", ErrPath)
	}
	for i, s := range strings.Split(path, "/") {
		switch {
		case s == "":
			return fmt.Errorf("%w: an empty segment", ErrPath)
		case s == "." || s == "..":
			return fmt.Errorf("%w: a segment %q", ErrPath, s)
		case i == 0 && s == reservedSegment:
			return fmt.Errorf("%w: the first segment %q is reserved", ErrPath, s)
		}
		if at := strings.IndexFunc(s, isForbidden); at >= 0 {
			r, _ := utf8.DecodeRuneInString(s[at:])
			return fmt.Errorf("%w: the character %q", ErrPath, r)
		}
	}
	return nil
}

func isForbidden(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._~@+=,:-", r)
}
