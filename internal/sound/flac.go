// Package sound makes FLAC of sound that is not compressed, which browsers and
// files of MP4 take.
package sound

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"sluice/flv"
	"sluice/media"
)

// The sizes of FLAC blocks in samples (RFC 9639, 5): smaller ones are allowed
// at the end alone, larger ones are not for every decoder. They differ from
// each other, by which mpegts.js knows that it must go by the time stamps:
// with one fixed size it counts samples, and fills gaps with repetitions.
const (
	minBlock = 16
	maxBlock = 4096
)

const flacBits = 16

// FLAC returns a track of samples, G.711 or little-endian PCM, as one of FLAC,
// and what encodes its packets, without loss and each by itself; nil where the
// track is no such thing. Until the first frame is known one channel is assumed.
// What encodes is not safe for concurrent use.
func FLAC(t media.Track) (media.Track, func(*media.Packet, func(*media.Packet))) {
	s := sampler{width: 1}
	switch t.Codec {
	case media.G711A:
		s.read = readTable(expandALaw)
	case media.G711U:
		s.read = readTable(expandULaw)
	default: // which has no width unless it is PCM
		if s.width = flv.PCMWidth(t.First); s.width == 0 {
			return t, nil
		}
		s.read = readPCM(s.width)
	}
	i := flv.DescribeTrack(t)
	e, err := newFLACEncoder(s, i.SampleRate, i.Channels)
	if err != nil {
		return t, nil
	}
	out := media.Track{Kind: media.Audio, Codec: media.FLAC, Config: flv.FLACConfig(e.info)}
	return out, e.take
}

// sampler reads samples of 16 bits out of width bytes each.
type sampler struct {
	width int
	read  func([]byte) int32
}

func readPCM(width int) func([]byte) int32 {
	if width == 1 {
		return func(b []byte) int32 { return (int32(b[0]) - 128) << 8 }
	}
	return func(b []byte) int32 { return int32(int16(binary.LittleEndian.Uint16(b))) } //nolint:gosec // two's complement
}

// flacEncoder makes frames of FLAC of packets of samples, whatever their
// sizes. It is not safe for concurrent use.
type flacEncoder struct {
	sampler

	rate, channels int
	info           []byte // the STREAMINFO block
	flac           *flac.Encoder
	out            bytes.Buffer
	blocks         [2][]int32

	held   []byte // fewer samples than a block may have
	heldAt time.Duration
	last   time.Duration // when the newest block begins
}

func newFLACEncoder(s sampler, rate, channels int) (*flacEncoder, error) {
	e := &flacEncoder{sampler: s, rate: rate, channels: channels}
	return e, e.restart()
}

// restart begins to count the samples anew.
func (e *flacEncoder) restart() error {
	e.out.Reset()
	enc, err := flac.NewEncoder(&e.out, &meta.StreamInfo{
		BlockSizeMin: minBlock, BlockSizeMax: maxBlock, BitsPerSample: flacBits,
		SampleRate: uint32(e.rate), NChannels: uint8(e.channels), //nolint:gosec // of flv
	})
	if err != nil {
		return fmt.Errorf("making an encoder for FLAC: %w", err)
	}
	info, ok := flv.StreamInfo(e.out.Bytes())
	if !ok {
		return fmt.Errorf("making an encoder for FLAC: no sound of %d Hz", e.rate)
	}
	e.flac, e.info = enc, bytes.Clone(info)
	return nil
}

// take encodes a packet. No block begins before the one in front of it, though a
// packet may hold more samples than there is time until the next.
func (e *flacEncoder) take(p *media.Packet, emit func(*media.Packet)) {
	if p.Type != media.Frame || p.Kind != media.Audio {
		return
	}
	data, at := e.sameChannels(p), p.DTS
	if len(e.held) > 0 {
		data, at = append(e.held, data...), e.heldAt
	}
	size := e.width * e.channels
	e.held = nil
	for n := len(data) / size; n > 0; n = len(data) / size {
		if n < minBlock {
			e.held, e.heldAt = bytes.Clone(data[:n*size]), at
			return
		}
		n = blockSize(n)
		if q := e.encode(data[:n*size], n); q != nil {
			e.last = max(at, e.last)
			q.DTS = e.last
			emit(q)
		}
		data = data[n*size:]
		at += time.Duration(n*1000/e.rate) * time.Millisecond
	}
}

// blockSize returns how many of n samples are encoded in one block, so that
// those that are left over can be one too.
func blockSize(n int) int {
	if n > maxBlock && n < maxBlock+minBlock {
		return maxBlock - minBlock
	}
	return min(n, maxBlock)
}

// sameChannels returns the samples of a packet with as many channels as the
// track began with: the header of each packet may say something else.
func (e *flacEncoder) sameChannels(p *media.Packet) []byte {
	data := p.Bytes()
	channels := 1 + int(p.Body[0]&1)
	if channels == e.channels {
		return data
	}
	out := make([]byte, 0, len(data)*e.channels)
	for step := e.width * channels; len(data) >= step; data = data[step:] {
		for range e.channels {
			out = append(out, data[:e.width]...)
		}
	}
	return out
}

// encode returns a block of n samples as a packet, nil where that failed.
func (e *flacEncoder) encode(data []byte, n int) *media.Packet {
	subframes := make([]*frame.Subframe, e.channels)
	for c := range subframes {
		block := e.blocks[c][:0]
		for at := c * e.width; at+e.width <= len(data); at += e.width * e.channels {
			block = append(block, e.read(data[at:]))
		}
		e.blocks[c] = block
		subframes[c] = &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, Samples: block, NSamples: n}
	}
	e.out.Reset()
	err := e.flac.WriteFrame(&frame.Frame{
		Header: frame.Header{
			BlockSize: uint16(n), SampleRate: uint32(e.rate), Channels: frame.Channels(e.channels - 1), BitsPerSample: flacBits, //nolint:gosec // bounded
		},
		Subframes: subframes,
	})
	if err != nil {
		_ = e.restart() // the number of samples grew too long, after weeks; it worked before
		return nil
	}
	body := flv.AppendFLACHead(make([]byte, 0, 8+e.out.Len()))
	p := flv.ParseAudio(append(body, e.out.Bytes()...))
	return &p
}

func readTable(expand func(byte) int32) func([]byte) int32 {
	var t [256]int32
	for i := range t {
		t[i] = expand(byte(i))
	}
	return func(b []byte) int32 { return t[b[0]] }
}

// expandALaw and expandULaw return the sample of 16 bits that a byte stands for
// (ITU-T G.711).
func expandALaw(b byte) int32 {
	const inverted, sign = 0x55, 0x80
	b ^= inverted
	v := int32(b&0x0f)<<4 + 8
	if segment := b >> 4 & 7; segment > 0 {
		v = (v + 0x100) << (segment - 1)
	}
	if b&sign == 0 {
		return -v
	}
	return v
}

func expandULaw(b byte) int32 {
	const bias, sign = 0x84, 0x80
	b = ^b
	v := (int32(b&0x0f)<<3+bias)<<(b>>4&7) - bias
	if b&sign != 0 {
		return -v
	}
	return v
}
