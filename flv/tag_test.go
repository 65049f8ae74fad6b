package flv_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
)

const ms = time.Millisecond

var tagHeaders = map[string]struct {
	wire string
	want flv.TagHeader
}{
	"audio at zero":        {"08 000003 000000 00 000000", flv.TagHeader{Type: 8, BodyLen: 3}},
	"the longest body":     {"09 ffffff 000000 00 000000", flv.TagHeader{Type: 9, BodyLen: flv.MaxTagBody}},
	"the 24-bit border":    {"09 010203 ffffff 00 000000", flv.TagHeader{Type: 9, BodyLen: 0x010203, DTS: 0xffffff * ms}},
	"past the 24 bits":     {"09 000000 000000 01 000000", flv.TagHeader{Type: 9, DTS: 0x1000000 * ms}},
	"past the sign":        {"08 000000 000001 80 000000", flv.TagHeader{Type: 8, DTS: 0x80000001 * ms}},
	"the last millisecond": {"12 000000 ffffff ff 000000", flv.TagHeader{Type: 18, DTS: 0xffffffff * ms}},
	"encrypted":            {"29 000001 000000 00 000000", flv.TagHeader{Type: 9, Filter: true, BodyLen: 1}},
	"another stream id":    {"09 000001 000000 00 000102", flv.TagHeader{Type: 9, BodyLen: 1, StreamID: 0x0102}},
}

func TestTagHeader(t *testing.T) {
	t.Parallel()
	for name, tc := range tagHeaders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := unhex(t, tc.wire)
			got, n, err := flv.ParseTagHeader(wire)
			if err != nil || n != flv.TagHeaderLen || got != tc.want {
				t.Fatalf("ParseTagHeader() = %+v, %d, %v; want %+v", got, n, err, tc.want)
			}
			for i := range wire {
				if _, _, err := flv.ParseTagHeader(wire[:i]); !errors.Is(err, flv.ErrShort) {
					t.Errorf("with %d bytes: error = %v, want ErrShort", i, err)
				}
			}
			b, err := tc.want.Append(nil)
			if err != nil || !bytes.Equal(b, wire) {
				t.Errorf("Append() = %x, %v; want %x", b, err, wire)
			}
		})
	}
}

func TestTheReservedBitsOfATagAreIgnored(t *testing.T) {
	t.Parallel()
	h, _, err := flv.ParseTagHeader(unhex(t, "c9 000000 000000 00 000000"))
	if err != nil || h.Type != flv.TagVideo || h.Filter {
		t.Errorf("ParseTagHeader() = %+v, %v", h, err)
	}
}

func TestATagThatIsTooLongIsNotWritten(t *testing.T) {
	t.Parallel()
	long := make([]byte, flv.MaxTagBody+1)
	if b, err := flv.AppendTag(nil, flv.TagVideo, 0, long); !errors.Is(err, flv.ErrTagTooLong) || b != nil {
		t.Errorf("AppendTag() = %d bytes, %v; want ErrTagTooLong", len(b), err)
	}
	h := flv.TagHeader{BodyLen: flv.MaxTagBody + 1}
	if _, err := h.Append(nil); !errors.Is(err, flv.ErrTagTooLong) {
		t.Errorf("Append() error = %v, want ErrTagTooLong", err)
	}
	longest, err := flv.AppendTag(nil, flv.TagVideo, 0, long[1:])
	if err != nil {
		t.Fatal(err)
	}
	_, tags := mustRead(t, append(flv.AppendHeader(nil, false, true), longest...))
	if len(tags) != 1 || len(tags[0].Body) != flv.MaxTagBody {
		t.Error("the longest tag does not come back")
	}
}

func TestCase077TimestampBytesAndWraps(t *testing.T) {
	t.Parallel()
	b, err := flv.AppendTag(nil, flv.TagVideo, 0x01020304*ms, []byte{1})
	if err != nil || !bytes.Equal(b[4:8], []byte{2, 3, 4, 1}) {
		t.Fatalf("AppendTag() = %x, %v; want the time as 02 03 04 01", b, err)
	}
	again, err := flv.AppendTag(nil, flv.TagVideo, (0x01020304+1<<32)*ms, []byte{1})
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("2^32 ms later: %x, %v; want %x", again, err, b)
	}

	// The same pictures at times that cross a border of the clock.
	h, plain := mustRead(t, flvtest.Bytes(t, "h264_aac.flv"))
	crossing := make([]flv.Tag, len(plain))
	for i, tag := range plain {
		crossing[i] = tag
		crossing[i].DTS = tag.DTS + (1<<31-2000)*ms
	}
	for name, file := range map[string]struct {
		b     []byte
		first time.Duration
		last  time.Duration
	}{
		"ts_24bit":     {flvtest.Bytes(t, "mutants/ts_24bit.flv"), 16_775_215 * ms, 16_779_232 * ms},
		"ts_wrap32":    {flvtest.Bytes(t, "mutants/ts_wrap32.flv"), 4_294_965_295 * ms, (2016 + 1<<32) * ms},
		"ts_2p31cross": {mux(t, h, crossing), (1<<31 - 2000) * ms, (1<<31 + 2017) * ms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, tags := mustRead(t, file.b)
			first, last := unwrapped(t, tags)
			if first != file.first || last != file.last {
				t.Errorf("times from %v to %v, want %v to %v", first, last, file.first, file.last)
			}
		})
	}
}

// unwrapped returns the first and the last time of a file's sound and picture,
// the last one beyond 2^32 ms where the clock wraps. In no track may it go
// backwards.
func unwrapped(t *testing.T, tags []flv.Tag) (first, last time.Duration) {
	t.Helper()
	at, begun := map[uint8]time.Duration{}, false
	for _, tag := range tags {
		if tag.Type == flv.TagScript {
			continue
		}
		dts := tag.DTS
		if begun {
			dts = last + time.Duration(int32(uint32(tag.DTS/ms)-uint32(last/ms)))*ms
		} else {
			first, begun = dts, true
		}
		if before, ok := at[tag.Type]; ok && dts < before {
			t.Fatalf("type %d: %v after %v", tag.Type, dts, before)
		}
		at[tag.Type], last = dts, max(last, dts)
	}
	return first, last
}

func TestCase078DataOffsetIsFollowedAndABadHeaderRefused(t *testing.T) {
	t.Parallel()
	const tag = "08 000001 000000 00 000000 af 0000000c"
	for _, tc := range []struct{ name, header string }{
		{"the usual offset", "464c56 01 04 00000009 00000000"},
		{"4 bytes more", "464c56 01 04 0000000d deadbeef 00000000"},
		{"a PreviousTagSize0 that is not 0", "464c56 01 04 00000009 00c0ffee"},
	} {
		h, tags, err := flvtest.Read(bytes.NewReader(unhex(t, tc.header+tag)))
		want := []flv.Tag{{Type: 8, Body: []byte{0xaf}}}
		if err != nil || h != (flv.Header{Audio: true}) || !sameTags(tags, want) {
			t.Errorf("%s: %+v, %+v, %v", tc.name, h, tags, err)
		}
	}
	for _, header := range []string{
		"464c56 02 05 00000009", // version 2
		"464c56 01 05 00000008", // an offset within the header
		"464c56 01 05 00010001", // an offset beyond the limit
		"464c56 01 05 ffffffff",
		"464c58 01 05 00000009", // FLX
		"474554 20 2f 20485454", // GET / HTT
	} {
		r := flv.NewReader(bytes.NewReader(unhex(t, header+tag)))
		if _, err := r.Next(); !errors.Is(err, flv.ErrHeader) {
			t.Errorf("%s: Next() error = %v, want ErrHeader", header, err)
		}
		if _, err := r.Header(); !errors.Is(err, flv.ErrHeader) {
			t.Errorf("%s: Header() error = %v, want ErrHeader", header, err)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]flv.Header{
		"464c5601 05 00000009 00000000": {Audio: true, Video: true},
		"464c5601 04 00000009 00000000": {Audio: true},
		"464c5601 01 00000009 00000000": {Video: true},
		"464c5601 00 00000009 00000000": {},
	} {
		b := unhex(t, wire)
		if got := flv.AppendHeader(nil, want.Audio, want.Video); !bytes.Equal(got, b) || len(got) != flv.HeaderLen {
			t.Errorf("AppendHeader() = %x, want %x", got, b)
		}
		got, n, err := flv.ParseHeader(b)
		if err != nil || n != 9 || got != want {
			t.Errorf("ParseHeader() = %+v, %d, %v; want %+v", got, n, err, want)
		}
		for i := range 9 {
			if _, _, err := flv.ParseHeader(b[:i]); !errors.Is(err, flv.ErrShort) {
				t.Errorf("with %d bytes: error = %v, want ErrShort", i, err)
			}
			if _, err := flv.NewReader(bytes.NewReader(b[:i])).Header(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("with %d bytes: Header() error = %v, want ErrUnexpectedEOF", i, err)
			}
		}
	}
}

func BenchmarkAppendTag(b *testing.B) {
	body := make([]byte, 4000)
	buf := make([]byte, 0, 8000)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := flv.AppendTag(buf[:0], flv.TagVideo, time.Second, body); err != nil {
			b.Fatal(err)
		}
	}
}
