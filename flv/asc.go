package flv

import (
	"fmt"

	"sluice/media"
)

// describeAAC reads an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1). Where
// spectral band replication is signalled, the rate is that of what is heard.
func (i *TrackInfo) describeAAC(b []byte) {
	r := bitReader{b: b}
	object := ascObject(&r)
	rate := ascRate(&r)
	channels := r.bits(4)
	const sbr, ps = 5, 29
	if object == sbr || object == ps {
		rate = ascRate(&r)
	}
	if r.short || object == 0 {
		return
	}
	i.Codecs = fmt.Sprintf("mp4a.40.%d", object)
	i.SampleRate = rate
	switch {
	case object == ps:
		i.Channels = 2
	case channels <= 6:
		i.Channels = int(channels)
	case channels == 11:
		i.Channels = 7
	case channels == 7, channels == 12, channels == 14:
		i.Channels = 8
	}
}

func ascObject(r *bitReader) uint32 {
	const escape = 31
	if object := r.bits(5); object != escape {
		return object
	}
	return 32 + r.bits(6)
}

func ascRate(r *bitReader) int {
	rates := [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	const escape = 15
	index := r.bits(4)
	switch {
	case index == escape:
		return int(r.bits(24))
	case int(index) < len(rates):
		return rates[index]
	}
	return 0
}

// describeAVC reads an avcC record (ISO/IEC 14496-15, 5.3.3.1) and the size of
// the picture in its first sequence parameter set.
func (i *TrackInfo) describeAVC(b []byte) {
	if len(b) < 4 || b[0] != 1 {
		return
	}
	i.Codecs = fmt.Sprintf("avc1.%02x%02x%02x", b[1], b[2], b[3])
	p := DescribePicture(media.H264, b)
	i.Width, i.Height = p.Width, p.Height
}
