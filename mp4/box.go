package mp4

import "encoding/binary"

// boxes appends boxes (4.2), one within another.
type boxes struct {
	b    []byte
	open []int // where the boxes begin that are not at their end
}

// begin begins a box.
func (x *boxes) begin(name string) {
	x.open = append(x.open, len(x.b))
	x.u32(0)
	x.text(name)
}

// full begins a box with a version and flags.
func (x *boxes) full(name string, version byte, flags uint32) {
	x.begin(name)
	x.u32(uint32(version)<<24 | flags)
}

// end ends the box that was begun last.
func (x *boxes) end() {
	at := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	binary.BigEndian.PutUint32(x.b[at:], uint32(len(x.b)-at)) //nolint:gosec // of samples that are bounded
}

func (x *boxes) u8(v ...byte)   { x.b = append(x.b, v...) }
func (x *boxes) u16(v uint16)   { x.b = binary.BigEndian.AppendUint16(x.b, v) }
func (x *boxes) u32(v uint32)   { x.b = binary.BigEndian.AppendUint32(x.b, v) }
func (x *boxes) u64(v uint64)   { x.b = binary.BigEndian.AppendUint64(x.b, v) }
func (x *boxes) text(s string)  { x.b = append(x.b, s...) }
func (x *boxes) bytes(b []byte) { x.b = append(x.b, b...) }

// zero appends n bytes that are reserved.
func (x *boxes) zero(n int) { x.b = append(x.b, make([]byte, n)...) }

// matrix appends the transformation of a picture that stays as it is.
func (x *boxes) matrix() {
	for _, v := range [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		x.u32(v)
	}
}
