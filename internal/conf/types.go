package conf

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, written with its unit: "10s", "250ms", "1h30m",
// or "0". It is never negative.
type Duration time.Duration

// D returns d as the standard library knows it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "0" {
		*d = 0
		return nil
	}
	if isNumber(s) {
		return fmt.Errorf("%s has no unit: write %ss, %sms, %sm or %sh", s, s, s, s, s)
	}
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: write a number with its unit, such as 10s, 250ms or 1h30m", s)
	case v < 0:
		return fmt.Errorf("%s is negative", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the shortest text that reads as the same duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the text of the duration, "1m30s" or "0".
func (d Duration) String() string {
	if d == 0 {
		return "0"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return strings.Replace(s, "µ", "u", 1)
}

// Size is a number of bytes, written with its unit: "64MiB", "500kB", "12B",
// or "0". It is never negative.
type Size int64

// The units of [Size].
const (
	B   Size = 1
	KiB      = 1024 * B
	MiB      = 1024 * KiB
	GiB      = 1024 * MiB
	TiB      = 1024 * GiB
)

// unit returns how many bytes a unit stands for, 0 if it is none.
func unit(name string) Size {
	switch name {
	case "B":
		return B
	case "kB", "KB":
		return 1000
	case "MB":
		return 1000 * 1000
	case "GB":
		return 1000 * 1000 * 1000
	case "TB":
		return 1000 * 1000 * 1000 * 1000
	case "KiB":
		return KiB
	case "MiB":
		return MiB
	case "GiB":
		return GiB
	case "TiB":
		return TiB
	}
	return 0
}

// UnmarshalText reads a size.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	digits := s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
	u := unit(strings.TrimLeft(s[len(digits):], " "))
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case s == "0":
		*z = 0
		return nil
	case isNumber(s):
		return fmt.Errorf("%s has no unit: write %sB, %sKiB, %sMiB or %sGiB", s, s, s, s, s)
	case u == 0 || digits == "":
		return fmt.Errorf("%q is no size: write a whole number with its unit, B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, such as 64MiB", s)
	case err != nil || n > math.MaxInt64/int64(u):
		return fmt.Errorf("%s is too large", s)
	}
	*z = Size(n) * u
	return nil
}

// MarshalText writes the size in the largest unit that it is a multiple of.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// String returns the text of the size, "64MiB" or "0".
func (z Size) String() string {
	if z == 0 {
		return "0"
	}
	for _, name := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if u := unit(name); z%u == 0 {
			return strconv.FormatInt(int64(z/u), 10) + name
		}
	}
	return strconv.FormatInt(int64(z), 10) + "B"
}

// hidden is what stands for a secret wherever it is printed.
const hidden = "***"

// Secret is a text that is never printed: neither by fmt, with any verb, nor
// by slog, JSON or the effective configuration. string(s) is the text itself.
type Secret string

// Format implements [fmt.Formatter].
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String returns "***", or nothing for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a secret. It refuses "***": that is what a printed
// configuration shows in place of a secret, and would be a poor one.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == hidden {
		return errors.New("*** stands for a secret that was hidden when it was printed: write the secret itself")
	}
	*s = Secret(text)
	return nil
}

// isNumber tells whether s is a number without a unit.
func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}
