package amf0_test

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
)

// values are in the one form that the encoder writes.
var values = map[string]struct {
	wire string // hexadecimal
	want any
}{
	"number":             {"00 3ff0000000000000", 1.0},
	"not a number":       {"00 7ff8000000000001", math.NaN()},
	"infinity":           {"00 fff0000000000000", math.Inf(-1)},
	"true":               {"01 01", true},
	"false":              {"01 00", false},
	"string":             {"02 0003 617070", "app"},
	"empty string":       {"02 0000", ""},
	"text beyond ASCII":  {"02 0006 e5aea2e58e85", "客厅"},
	"null":               {"05", nil},
	"undefined":          {"06", amf0.Undefined{}},
	"unsupported":        {"0d", amf0.Unsupported{}},
	"date":               {"0b 4270000000000000 ffc4", amf0.Date{Milliseconds: 1 << 40, Zone: -60}},
	"XML":                {"0f 00000004 3c612f3e", amf0.XML("<a/>")},
	"empty object":       {"03 000009", amf0.Object{}},
	"object":             {"03 0003617070 02 00046c697665 0001 62 05 000009", amf0.Object{{"app", "live"}, {"b", nil}}},
	"object with a name": {"10 0001 43 0001 61 01 01 000009", amf0.TypedObject{Class: "C", Properties: amf0.Object{{"a", true}}}},
	"property of no name": {
		"03 0000 05 0001 61 06 000009",
		amf0.Object{{"", nil}, {"a", amf0.Undefined{}}},
	},
	"ECMA array":          {"08 00000001 0001 61 00 4000000000000000 000009", amf0.ECMAArray{{"a", 2.0}}},
	"empty ECMA array":    {"08 00000000 000009", amf0.ECMAArray{}},
	"strict array":        {"0a 00000002 05 0a 00000000", amf0.StrictArray{nil, amf0.StrictArray{}}},
	"reference to itself": {"03 0001 61 07 0000 000009", amf0.Object{{"a", amf0.Reference(0)}}},
}

// bytesOf decodes hexadecimal with spaces.
func bytesOf(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// nans compares values so that what is not a number equals itself.
func nans() cmp.Option {
	return cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
}

func TestValuesAreDecodedAndEncoded(t *testing.T) {
	t.Parallel()
	for name, tc := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := bytesOf(t, tc.wire)
			got, n, err := amf0.Decode(append(slices.Clip(wire), 0xff))
			if err != nil || n != len(wire) {
				t.Fatalf("Decode() = %v, %d, %v; want length %d", got, n, err, len(wire))
			}
			if d := cmp.Diff(tc.want, got, nans()); d != "" {
				t.Errorf("Decode() differs (-want +got):\n%s", d)
			}
			b, err := amf0.Append([]byte{7}, tc.want)
			if err != nil || string(b) != "\x07"+string(wire) {
				t.Errorf("Append() = %x, %v; want 07%x", b, err, wire)
			}
		})
	}
}

func TestTruncatedValuesAreTooShort(t *testing.T) {
	t.Parallel()
	for name, tc := range values {
		wire := bytesOf(t, tc.wire)
		for i := range wire {
			v, n, err := amf0.Decode(wire[:i])
			if strings.Contains(name, "ECMA") && err == nil { // may end anywhere between two properties
				continue
			}
			if !errors.Is(err, amf0.ErrShort) || n != 0 || v != nil {
				t.Errorf("%s, %d of %d bytes: Decode() = %v, %d, %v; want ErrShort", name, i, len(wire), v, n, err)
			}
		}
	}
}

func TestGoNumbersAreEncodedAsNumbers(t *testing.T) {
	t.Parallel()
	for _, v := range []any{int(7), int64(7), uint32(7), 7.0} {
		b, err := amf0.Append(nil, v)
		if want := "\x00\x40\x1c\x00\x00\x00\x00\x00\x00"; err != nil || string(b) != want {
			t.Errorf("Append(%T) = %x, %v; want %x", v, b, err, want)
		}
	}
}

func TestLongStringsChangeTheirForm(t *testing.T) {
	t.Parallel()
	for _, n := range []int{math.MaxUint16, math.MaxUint16 + 1, 70_000} {
		s := strings.Repeat("x", n)
		b, err := amf0.Append(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if long := n > math.MaxUint16; (b[0] == 0x0c) != long {
			t.Errorf("%d bytes begin with marker %#02x", n, b[0])
		}
		if got, _, err := amf0.Decode(b); err != nil || got != any(s) {
			t.Errorf("%d bytes do not survive: %v", n, err)
		}
	}
}

func TestWhatCannotBeEncodedIsRefused(t *testing.T) {
	t.Parallel()
	deep := any(1.0)
	for range amf0.MaxDepth {
		deep = amf0.StrictArray{deep}
	}
	if _, err := amf0.Append(nil, deep); err != nil {
		t.Errorf("%d arrays in each other: %v", amf0.MaxDepth, err)
	}
	circle := amf0.StrictArray{nil}
	circle[0] = circle
	long := strings.Repeat("k", math.MaxUint16+1)
	for name, tc := range map[string]struct {
		v    any
		want error
	}{
		"one level more": {amf0.Object{{"a", deep}}, amf0.ErrLimit},
		"a circle":       {circle, amf0.ErrLimit},
		"long key":       {amf0.Object{{long, nil}}, amf0.ErrTooLong},
		"long class":     {amf0.TypedObject{Class: long}, amf0.ErrTooLong},
		"unknown type":   {amf0.StrictArray{struct{}{}}, amf0.ErrType},
		"in an array":    {amf0.ECMAArray{{"a", int8(1)}}, amf0.ErrType},
	} {
		b, err := amf0.Append([]byte("before"), tc.v)
		if !errors.Is(err, tc.want) || string(b) != "before" {
			t.Errorf("%s: Append() = %x, %v; want %v", name, b, err, tc.want)
		}
	}
	if b, err := amf0.AppendAll([]byte("before"), "a", int8(1)); !errors.Is(err, amf0.ErrType) || string(b) != "before" {
		t.Errorf("AppendAll() = %x, %v; want ErrType", b, err)
	}
}

func TestJunkBehindTheArgumentsKeepsTheArguments(t *testing.T) {
	t.Parallel()
	wire := bytesOf(t, "02 0001 61 00 3ff0000000000000 05 ffff")
	got, err := amf0.DecodeAll(wire)
	if !errors.Is(err, amf0.ErrMarker) {
		t.Errorf("DecodeAll() error = %v, want ErrMarker", err)
	}
	if d := cmp.Diff([]any{"a", 1.0, nil}, got); d != "" {
		t.Errorf("DecodeAll() differs (-want +got):\n%s", d)
	}
	if got, err := amf0.DecodeAll(nil); err != nil || len(got) != 0 {
		t.Errorf("DecodeAll(nothing) = %v, %v", got, err)
	}
}

func TestPropertiesAreFoundByName(t *testing.T) {
	t.Parallel()
	o := amf0.Object{{"a", 1.0}, {"b", "x"}, {"a", 2.0}}
	for _, v := range []any{o, amf0.ECMAArray(o), amf0.TypedObject{Properties: o}} {
		if got, ok := amf0.Properties(v).Get("a"); !ok || got != 2.0 {
			t.Errorf("%T: Get(a) = %v, %v; want the later 2", v, got, ok)
		}
	}
	if got, ok := amf0.ECMAArray(o).Get("c"); ok || got != nil {
		t.Errorf("Get(c) = %v, %v; want nothing", got, ok)
	}
	if got := amf0.Properties("text"); got != nil {
		t.Errorf("Properties(text) = %v, want nil", got)
	}
}

func TestNumbersCountAsText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		v    any
		want string
		ok   bool
	}{{"cam1", "cam1", true}, {123.0, "123", true}, {34020000001320000001.0, "34020000001320000000", true}, {nil, "", false}, {true, "", false}} {
		if got, ok := amf0.Text(tc.v); got != tc.want || ok != tc.ok {
			t.Errorf("Text(%v) = %q, %v; want %q, %v", tc.v, got, ok, tc.want, tc.ok)
		}
	}
}

func TestPropertiesOfAMessageAreCountedTogether(t *testing.T) {
	t.Parallel()
	half := make(amf0.Object, amf0.MaxProperties/2)
	b, err := amf0.AppendAll(nil, half, amf0.ECMAArray(half))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := amf0.DecodeAll(b); err != nil || len(got) != 2 {
		t.Errorf("%d properties: %v", amf0.MaxProperties, err)
	}
	if b, err = amf0.Append(b, amf0.Object{{"one", "more"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := amf0.DecodeAll(b); !errors.Is(err, amf0.ErrLimit) || len(got) != 2 {
		t.Errorf("%d properties: %d values, %v; want ErrLimit", amf0.MaxProperties+1, len(got), err)
	}
}

func BenchmarkDecodeMetadata(b *testing.B) {
	wire, err := amf0.AppendAll(nil, "onMetaData", metadata())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if _, err := amf0.DecodeAll(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeMetadata(b *testing.B) {
	m := metadata()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := amf0.AppendAll(buf, "onMetaData", m); err != nil {
			b.Fatal(err)
		}
	}
}

// metadata is what ffmpeg 5.1 sends.
func metadata() amf0.ECMAArray {
	return amf0.ECMAArray{
		{"duration", 0.0},
		{"width", 320.0},
		{"height", 180.0},
		{"videodatarate", 244.140625},
		{"framerate", 25.0},
		{"videocodecid", 7.0},
		{"audiodatarate", 62.5},
		{"audiosamplerate", 44100.0},
		{"audiosamplesize", 16.0},
		{"stereo", true},
		{"audiocodecid", 10.0},
		{"encoder", "Lavf59.27.100"},
		{"filesize", 0.0},
	}
}
