package rtmp_test

import (
	"errors"
	"testing"

	"sluice/rtmp"
)

// aggregate returns an aggregate message at 1000 ms.
func aggregate(body []byte) rtmp.Message {
	return rtmp.Message{Type: rtmp.TypeAggregate, StreamID: 1, ChunkStream: 6, Timestamp: 1000, Body: body}
}

const (
	partAudio = "08 000002 000064 00 000000 AF01 0000000D"
	partVideo = "09 000005 000078 00 000000 2701000000 00000010"
)

func partsOf(video uint32) []rtmp.Message {
	return []rtmp.Message{
		{Type: rtmp.TypeAudio, StreamID: 1, ChunkStream: 6, Timestamp: 1000, Body: wire("af01")},
		{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Timestamp: video, Body: wire("2701000000")},
	}
}

func TestCase069AggregatesAreTakenApart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body []byte
		want []rtmp.Message
	}{
		"audio and video":  {wire(partAudio, partVideo), partsOf(1020)},
		"nothing":          {nil, nil},
		"extended times":   {wire("08 000002 fffff0 12 000000 AF01 0000000D", "09 000005 000004 13 000000 2701000000 00000010"), partsOf(1020)},
		"times that wrap":  {wire("08 000002 fffff0 ff 000000 AF01 0000000D", "09 000005 000004 00 000000 2701000000 00000010"), partsOf(1020)},
		"times go back":    {wire("08 000002 000078 00 000000 AF01 0000000D", "09 000005 000064 00 000000 2701000000 00000010"), partsOf(980)},
		"wrong way back":   {wire("08 000002 000064 00 000000 AF01 00000000", "09 000005 000078 00 000000 2701000000 ffffffff"), partsOf(1020)},
		"command, ignored": {wire("14 000001 000064 00 000000 02 0000000C", partAudio, partVideo), partsOf(1020)},
		"another stream":   {wire("08 000002 000064 00 000009 AF01 0000000D", partVideo), partsOf(1020)},
	} {
		got, err := rtmp.ParseAggregate(aggregate(tc.body))
		if err != nil {
			t.Errorf("%s: ParseAggregate() = %v", name, err)
		}
		if d := sameMessages(tc.want, got); d != "" {
			t.Errorf("%s: the messages differ (-want +got):\n%s", name, d)
		}
	}
}

func TestCase070BrokenAggregatesAreRefused(t *testing.T) {
	t.Parallel()
	whole := wire(partAudio, partVideo)
	first := len(wire(partAudio))
	for n := range whole {
		got, err := rtmp.ParseAggregate(aggregate(whole[:n]))
		want := 0
		if n >= first {
			want = 1
		}
		if wantErr := n != 0 && n != first; errors.Is(err, rtmp.ErrProtocol) != wantErr || len(got) != want {
			t.Errorf("%d of %d bytes: %d messages, %v", n, len(whole), len(got), err)
		}
	}
	for name, tc := range map[string]struct {
		body []byte
		want error
	}{
		"length beyond the end":  {wire("08 000003 000064 00 000000 AF01 0000000D"), rtmp.ErrProtocol},
		"length beyond all":      {wire("08 ffffff 000064 00 000000 AF01 0000000D"), rtmp.ErrProtocol},
		"aggregate in aggregate": {wire("16 000002 000064 00 000000 AF01 0000000D"), rtmp.ErrProtocol},
		"long audio":             {append(append(wire("08 100001 000000 00 000000"), make([]byte, 1<<20+1)...), 0, 0, 0, 0), rtmp.ErrLimit},
		"very many":              {wire(times(rtmp.MaxAggregated+1, "08 000000 000000 00 000000 0000000B")), rtmp.ErrLimit},
	} {
		if _, err := rtmp.ParseAggregate(aggregate(tc.body)); !errors.Is(err, tc.want) {
			t.Errorf("%s: ParseAggregate() = %v, want %v", name, err, tc.want)
		}
	}
}

func TestBodiesFromAnAggregateDoNotGrowIntoEachOther(t *testing.T) {
	t.Parallel()
	ms, err := rtmp.ParseAggregate(aggregate(wire(partAudio, partVideo)))
	if err != nil || len(ms) != 2 {
		t.Fatalf("ParseAggregate() = %d messages, %v", len(ms), err)
	}
	_ = append(ms[0].Body, filled(20, 0xff)...) // must go elsewhere
	if d := sameMessages(partsOf(1020), ms); d != "" {
		t.Errorf("appending to one body changes another:\n%s", d)
	}
}
