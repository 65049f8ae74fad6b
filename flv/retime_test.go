package flv_test

import (
	"bytes"
	"testing"
	"time"

	"sluice/flv"
)

func TestAVideoHeaderTakesAnotherCompositionTime(t *testing.T) {
	const cts = 0x010203 * time.Millisecond
	for name, tc := range map[string]struct{ body, want string }{
		"AVC":                   {"\x17\x01\x00\x00\x50data", "\x17\x01\x01\x02\x03"},
		"HEVC by codec id":      {"\x2c\x01\x00\x00\x50data", "\x2c\x01\x01\x02\x03"},
		"enhanced HEVC":         {"\x91hvc1\x00\x00\x50data", "\x91hvc1\x01\x02\x03"},
		"without one":           {"\xa3hvc1data", "\xa1hvc1\x01\x02\x03"},
		"behind a modifier":     {"\x97\x02\x00\x3d\x09\x01hvc1\x00\x00\x50data", "\x97\x02\x00\x3d\x09\x01hvc1\x01\x02\x03"},
		"modified, without one": {"\x97\x02\x00\x3d\x09\x03hvc1data", "\x97\x02\x00\x3d\x09\x01hvc1\x01\x02\x03"},
		"AV1 has none":          {"\x91av01data", "\x91av01"},
		"a configuration":       {"\x17\x00\x00\x00\x00conf", "\x17\x00\x00\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			p := flv.ParseVideo([]byte(tc.body))
			got := flv.AppendVideoHead([]byte("before"), &p, cts)
			if string(got) != "before"+tc.want {
				t.Fatalf("got %x, want %x", got[6:], tc.want)
			}
			again := flv.ParseVideo(append(bytes.Clone(got[6:]), p.Bytes()...))
			if again.Type != p.Type || again.Key != p.Key || !bytes.Equal(again.Bytes(), p.Bytes()) {
				t.Errorf("it reads as %+v, want %+v", again, p)
			}
			if flv.HasCTS(&p) && p.CTS != 0 && again.CTS != cts {
				t.Errorf("the composition time is %v", again.CTS)
			}
		})
	}
}
