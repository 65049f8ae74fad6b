package rendition

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/media"
)

// gop returns n frames, 40 ms apart, in groups of which the first is presented
// last: a P frame with b frames before it.
func gop(n, b int) []*media.Packet {
	const frame = 40 * time.Millisecond
	var out []*media.Packet
	for i := range n {
		p := &media.Packet{Kind: media.Video, Codec: media.H264, DTS: time.Duration(i) * frame, Key: i == 0}
		switch {
		case i == 0:
			p.CTS = time.Duration(min(b, 1)) * frame
		case (i-1)%(b+1) == 0:
			p.CTS = time.Duration(b+min(b, 1)) * frame
		}
		out = append(out, p)
	}
	return out
}

func checkSqueezed(t *testing.T, frames []*media.Packet, join int) {
	t.Helper()
	out := squeeze(frames[:join])
	last := frames[join-1].DTS
	for i, f := range out {
		if i > 0 && f.dts <= out[i-1].dts {
			t.Errorf("frame %d is decoded at %v, the one before at %v", i, f.dts, out[i-1].dts)
		}
		if f.pts < f.dts {
			t.Errorf("frame %d is presented at %v, before it is decoded at %v", i, f.pts, f.dts)
		}
	}
	if d := out[len(out)-1].dts; d > last {
		t.Errorf("the last frame is decoded at %v, later than published, %v", d, last)
	}
	if lead := last - out[0].dts; lead > time.Duration(2*join)*time.Millisecond {
		t.Errorf("%d frames are squeezed into %v", join, lead)
	}
	// The order of presentation, with the live frames behind.
	type shown struct{ was, is time.Duration }
	var all []shown
	for _, f := range out {
		all = append(all, shown{f.p.DTS + f.p.CTS, f.pts})
	}
	for _, p := range frames[join:] {
		all = append(all, shown{p.DTS + p.CTS, p.DTS + p.CTS})
	}
	slices.SortStableFunc(all, func(a, b shown) int { return int(a.was - b.was) })
	for i := 1; i < len(all); i++ {
		if all[i].is < all[i-1].is || all[i].was > all[i-1].was && all[i].is == all[i-1].is {
			t.Errorf("joined at %d: the picture of %v is shown at %v, that of %v at %v", join,
				all[i-1].was, all[i-1].is, all[i].was, all[i].is)
		}
	}
}

func TestSqueezedPicturesKeepTheirOrderWhereverTheViewerJoins(t *testing.T) {
	for b := range 5 {
		frames := gop(100, b)
		for join := 1; join <= len(frames); join++ {
			checkSqueezed(t, frames, join)
		}
	}
}

func TestSqueezingHoldsForAnyOrderOfPictures(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 1 + rnd.IntN(60)
		frames := make([]*media.Packet, n)
		for i := range frames {
			frames[i] = &media.Packet{
				DTS: time.Duration(i) * 40 * time.Millisecond,
				CTS: time.Duration(rnd.IntN(10)) * 40 * time.Millisecond,
			}
		}
		// No two are presented at once.
		seen := map[time.Duration]bool{}
		for _, p := range frames {
			for seen[p.DTS+p.CTS] {
				p.CTS += time.Millisecond
			}
			seen[p.DTS+p.CTS] = true
		}
		checkSqueezed(t, frames, 1+rnd.IntN(n))
	}
}

func TestABacklogIsBounded(t *testing.T) {
	var b backlog
	frame := func(at time.Duration, key bool, n int) *media.Packet {
		return &media.Packet{Kind: media.Video, DTS: at, Key: key, Body: make([]byte, n)}
	}
	b.add(frame(0, false, 1))
	if len(b.frames) != 0 {
		t.Error("it begins without a key frame")
	}
	b.add(frame(0, true, 1))
	b.add(frame(maxSqueezeTime, false, 1))
	if len(b.frames) != 2 || b.overflow {
		t.Errorf("%d frames at the limit", len(b.frames))
	}
	b.add(frame(maxSqueezeTime+1, false, 1))
	if len(b.frames) != 0 || !b.overflow {
		t.Errorf("%d frames behind the limit of time", len(b.frames))
	}
	b.add(frame(12*time.Second, true, maxSqueezeBytes))
	if d, known := b.nextIn(20 * time.Second); !known || d != 4*time.Second {
		t.Errorf("the next key frame is due in %v, %v", d, known)
	}
	b.add(frame(13*time.Second, false, 1))
	if !b.overflow {
		t.Error("the limit of bytes does not hold")
	}
}
