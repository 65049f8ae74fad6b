package amf0_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/internal/memtest"
)

// cost returns the least time that f takes in a few runs, in many on a machine that
// is busy, and the bytes that one run allocates.
func cost(f func()) (time.Duration, uint64) {
	least, size := time.Hour, uint64(math.MaxUint64)
	for i := 0; i < 50 || least >= time.Millisecond && i < 5_000; i++ {
		took, n := once(f)
		least, size = min(least, took), min(size, n)
	}
	return least, size
}

// once runs f and returns the time it takes and the bytes it allocates.
func once(f func()) (took time.Duration, size uint64) {
	size = memtest.Allocated(func() {
		start := time.Now()
		f()
		took = time.Since(start)
	})
	return took, size
}

// It is not parallel, for it measures.
func TestCase050AMFBombsCostNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		wire []byte
		want error
	}{
		"10,000 arrays in each other": {bytes.Repeat([]byte{0x0a, 0, 0, 0, 1}, 10_000), amf0.ErrLimit},
		"10 MB of objects":            {bytes.Repeat([]byte{0x03, 0, 1, 'a'}, 10<<20/4), amf0.ErrLimit},
		"array of 4 G values":         {bytesOf(t, "0a ffffffff"), amf0.ErrShort},
		"string cut off":              {bytesOf(t, "02 ffff 616263"), amf0.ErrShort},
		"string of 4 GiB":             {bytesOf(t, "0c ffffffff"), amf0.ErrShort},
		"XML of 4 GiB":                {bytesOf(t, "0f ffffffff 00"), amf0.ErrShort},
		"object without end":          {bytesOf(t, "03 0001 61 05"), amf0.ErrShort},
		"object of nothing":           {bytesOf(t, "03"), amf0.ErrShort},
		"reference to nothing":        {bytesOf(t, "07 0000"), amf0.ErrReference},
		"too many properties":         {append([]byte{3}, bytes.Repeat([]byte{0, 1, 'a', 5}, 1<<16)...), amf0.ErrLimit},
		"5,000 nulls":                 {bytes.Repeat([]byte{5}, 5_000), amf0.ErrLimit},
		"an array of 5,000 nulls":     {append([]byte{0x0a, 0, 0, 0x13, 0x88}, bytes.Repeat([]byte{5}, 5_000)...), amf0.ErrLimit},
		"2,000 empty objects":         {bytes.Repeat([]byte{3, 0, 0, 9}, 2_000), amf0.ErrLimit},
		"end of no object":            {bytesOf(t, "09"), amf0.ErrMarker},
		"movie clip":                  {bytesOf(t, "04"), amf0.ErrMarker},
	} {
		var err error
		took, size := cost(func() { _, err = amf0.DecodeAll(tc.wire) })
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error = %v, want %v", name, err, tc.want)
		}
		if took >= time.Millisecond || size >= 1<<20 || size > 64<<10+4*uint64(len(tc.wire)) {
			t.Errorf("%s: took %v and %d bytes", name, took, size)
		}
	}
}

func TestOrdinaryValuesFitIntoTheirMemory(t *testing.T) {
	t.Parallel()
	var times, places amf0.StrictArray
	for i := range 25_000 { // the key frames of a long file
		times, places = append(times, float64(i)), append(places, 1e6*float64(i))
	}
	var all amf0.ECMAArray
	for range amf0.MaxProperties - 3 {
		all = append(all, amf0.Property{Key: "k"})
	}
	all = append(all, amf0.Property{Key: "keyframes", Value: amf0.Object{{"times", times}, {"filepositions", places}}})
	wire, err := amf0.AppendAll(nil, "onMetaData", all)
	if err != nil {
		t.Fatal(err)
	}
	if vs, err := amf0.DecodeAll(wire); err != nil || len(vs) != 2 {
		t.Errorf("%d values, %v", len(vs), err)
	}
}

func TestCase051ECMAArraysAreReadByTheirContents(t *testing.T) {
	t.Parallel()
	const a, b, c = "0001 61 05", "0001 62 01 01", "0001 63 02 0000"
	all := amf0.ECMAArray{{"a", nil}, {"b", true}, {"c", ""}}
	one := amf0.ECMAArray{{"a", nil}}
	for name, tc := range map[string]struct {
		wire string
		want amf0.ECMAArray
	}{
		"count 0, three properties":   {"08 00000000" + a + b + c + "000009", all},
		"count 9999, one property":    {"08 0000270f" + a + "000009", one},
		"no end":                      {"08 00000001" + a, one},
		"half an end":                 {"08 00000001" + a + "00", one},
		"two thirds of an end":        {"08 00000001" + a + "0000", one},
		"no end, of two arrays":       {"08 00000001 0001 78 08 00000001" + a, amf0.ECMAArray{{"x", one}}},
		"count 4 G, nothing else":     {"08 ffffffff", amf0.ECMAArray{}},
		"count of properties is less": {"08 00000002" + a + b + c, all},
	} {
		wire := bytesOf(t, tc.wire)
		got, n, err := amf0.Decode(wire)
		if err != nil || n != len(wire) {
			t.Errorf("%s: Decode() = %d, %v; want length %d", name, n, err, len(wire))
		}
		if d := cmp.Diff(any(tc.want), got); d != "" {
			t.Errorf("%s: Decode() differs (-want +got):\n%s", name, d)
		}
	}
}

func TestDepthIsLimitedToSixteen(t *testing.T) {
	t.Parallel()
	for _, one := range []string{"\x0a\x00\x00\x00\x01", "\x03\x00\x01a", "\x08\x00\x00\x00\x00\x00\x01a", "\x10\x00\x00\x00\x01a"} {
		_, err := amf0.DecodeAll([]byte(strings.Repeat(one, amf0.MaxDepth) + "\x05"))
		if errors.Is(err, amf0.ErrLimit) {
			t.Errorf("%x nested %d deep: %v", one, amf0.MaxDepth, err)
		}
		_, err = amf0.DecodeAll([]byte(strings.Repeat(one, amf0.MaxDepth+1) + "\x05"))
		if !errors.Is(err, amf0.ErrLimit) {
			t.Errorf("%x nested %d deep: %v, want ErrLimit", one, amf0.MaxDepth+1, err)
		}
	}
}

var avmValues = map[string]struct {
	wire string
	want any
}{
	"undefined":        {"11 00", amf0.Undefined{}},
	"null":             {"11 01", nil},
	"false":            {"11 02", false},
	"true":             {"11 03", true},
	"integer":          {"11 04 81 00", 128.0},
	"greatest integer": {"11 04 bf ff ff ff", float64(1<<28 - 1)},
	"negative integer": {"11 04 ff ff ff ff", -1.0},
	"double":           {"11 05 3ff8000000000000", 1.5},
	"string":           {"11 06 07 617070", "app"},
	"XML document":     {"11 07 09 3c612f3e", amf0.XML("<a/>")},
	"XML":              {"11 0b 09 3c612f3e", amf0.XML("<a/>")},
	"bytes":            {"11 0c 05 00ff", "\x00\xff"},
	"date":             {"11 08 01 4270000000000000", amf0.Date{Milliseconds: 1 << 40}},
	"dense array":      {"11 09 05 01 02 03", amf0.StrictArray{false, true}},
	"mixed array":      {"11 09 03 03 61 01 01 03", amf0.ECMAArray{{"a", nil}, {"0", true}}},
	"dynamic object": {
		"11 0a 0b 01 03 61 04 01 03 62 06 00 01", // the value of b refers to the string "a"
		amf0.Object{{"a", 1.0}, {"b", "a"}},
	},
	"two objects of one class": {
		"11 09 05 01  0a 13 03 43 03 78 03  0a 01 02",
		amf0.StrictArray{
			amf0.TypedObject{Class: "C", Properties: amf0.Object{{"x", true}}},
			amf0.TypedObject{Class: "C", Properties: amf0.Object{{"x", false}}},
		},
	},
	"within AMF0": {"03 0001 61 11 04 05 000009", amf0.Object{{"a", 5.0}}},
}

func TestAMF3ValuesAreDecoded(t *testing.T) {
	t.Parallel()
	for name, tc := range avmValues {
		wire := bytesOf(t, tc.wire)
		got, n, err := amf0.Decode(wire)
		if err != nil || n != len(wire) {
			t.Errorf("%s: Decode() = %d, %v; want length %d", name, n, err, len(wire))
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: Decode() differs (-want +got):\n%s", name, d)
		}
		for i := range wire {
			if _, _, err := amf0.Decode(wire[:i]); !errors.Is(err, amf0.ErrShort) {
				t.Errorf("%s, %d of %d bytes: error = %v, want ErrShort", name, i, len(wire), err)
			}
		}
	}
}

// It is not parallel, for it measures.
func TestAMF3BombsCostNothing(t *testing.T) {
	long := append(bytesOf(t, "11 06 c0 01"), make([]byte, 1<<12)...)
	for name, tc := range map[string]struct {
		wire []byte
		want error
	}{
		"arrays in each other":     {append([]byte{0x11}, bytes.Repeat([]byte{9, 3, 1}, 10_000)...), amf0.ErrLimit},
		"objects in each other":    {append([]byte{0x11}, bytes.Repeat([]byte{0x0a, 0x0b, 1, 3, 'a'}, 10_000)...), amf0.ErrLimit},
		"array of 2^28 values":     {bytesOf(t, "11 09 ffffffff 01"), amf0.ErrShort},
		"string of 2^28 bytes":     {bytesOf(t, "11 06 ffffffff"), amf0.ErrShort},
		"class of 2^25 properties": {append(bytesOf(t, "11 0a fffffff3 01"), bytes.Repeat([]byte{1}, 1<<15)...), amf0.ErrLimit},
		"unknown string":           {bytesOf(t, "11 06 00"), amf0.ErrReference},
		"unknown class":            {bytesOf(t, "11 0a 01"), amf0.ErrReference},
		"reference to an object":   {bytesOf(t, "11 0a 00"), amf0.ErrReference},
		"encoding of its own":      {bytesOf(t, "11 0a 07 03 43"), amf0.ErrMarker},
		"vector":                   {bytesOf(t, "11 0d 01 00"), amf0.ErrMarker},
		"the same string again and again": {
			append(long, bytes.Repeat([]byte{0x11, 0x06, 0x00}, 300)...),
			amf0.ErrLimit,
		},
	} {
		var err error
		took, size := cost(func() { _, err = amf0.DecodeAll(tc.wire) })
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error = %v, want %v", name, err, tc.want)
		}
		if took >= time.Millisecond || size >= 1<<20 {
			t.Errorf("%s: took %v and %d bytes", name, took, size)
		}
	}
}

func TestAMF3NamesMustFitIntoAMF0(t *testing.T) {
	t.Parallel()
	const n = math.MaxUint16 + 1
	name := append([]byte{0x80 | n<<1>>14&0x7f, 0x80 | n<<1>>7&0x7f, n<<1&0x7f | 1}, make([]byte, n)...)
	for _, head := range []string{"11 09 01", "11 0a 0b 01", "11 0a 03", "11 0a 13 01"} {
		if _, err := amf0.DecodeAll(append(bytesOf(t, head), name...)); !errors.Is(err, amf0.ErrTooLong) {
			t.Errorf("%s with a name of %d bytes: error = %v, want ErrTooLong", head, n, err)
		}
	}
}

// FuzzAMF3 decodes AMF3 values, each within its AMF0 wrapper.
func FuzzAMF3(f *testing.F) {
	for _, tc := range avmValues {
		if wire := bytesOf(f, tc.wire); wire[0] == 0x11 {
			f.Add(wire[1:])
		}
	}
	f.Add(bytes.Repeat([]byte{0x0a, 0x0b, 1, 1}, 4000))
	f.Add(append([]byte{9, 0x81, 0x80, 1, 1}, bytes.Repeat([]byte{4, 1}, 8000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append([]byte{0x11}, b...)
		memtest.Bound(t, len(b), func() { _, _, _ = amf0.Decode(b) })
		v, n, err := amf0.Decode(b)
		if err != nil {
			return
		}
		if n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		wire, err := amf0.Append(nil, v)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		again, _, err := amf0.Decode(wire)
		if err == nil && reflect.DeepEqual(v, again) {
			return // said faster than cmp does
		}
		if d := cmp.Diff(v, again, nans()); d != "" || err != nil {
			t.Fatalf("as AMF0 it is another value: %v\n%s", err, d)
		}
	})
}

func FuzzAMF0(f *testing.F) {
	for _, tc := range values {
		f.Add(bytesOf(f, tc.wire))
	}
	for _, tc := range avmValues {
		f.Add(bytesOf(f, tc.wire))
	}
	f.Add(binary.BigEndian.AppendUint32([]byte{0x08}, 9999))
	f.Add(append([]byte{0x0a, 0, 0, 0x30, 0}, bytes.Repeat([]byte{5}, 0x3000)...))
	f.Add(append([]byte{0x03}, bytes.Repeat([]byte{0, 0, 5}, 1024)...))
	f.Add(bytes.Repeat([]byte{0x03, 0, 0, 9}, 4000))
	f.Fuzz(func(t *testing.T, b []byte) {
		memtest.Bound(t, len(b), func() { _, _ = amf0.DecodeAll(b) })
		vs, err := amf0.DecodeAll(b) // what precedes an error counts too
		if errors.Is(err, amf0.ErrLimit) {
			return // the budget of what precedes it alone would be less
		}
		wire, err := amf0.AppendAll(nil, vs...)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		again, err := amf0.DecodeAll(wire)
		if errors.Is(err, amf0.ErrLimit) && len(wire) < len(b) {
			return // as above: what was not decoded paid for the rest
		}
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if !reflect.DeepEqual(vs, again) { // says it faster than cmp does
			if d := cmp.Diff(vs, again, nans()); d != "" {
				t.Fatalf("a round trip changes the values (-was +is):\n%s", d)
			}
		}
		same, err := amf0.AppendAll(nil, again...)
		if err != nil || !bytes.Equal(wire, same) {
			t.Fatalf("the second encoding differs: %x, %x, %v", wire, same, err)
		}
	})
}
