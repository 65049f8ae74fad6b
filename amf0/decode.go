package amf0

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
)

// Decode decodes the value at the start of b and returns its length.
func Decode(b []byte) (v any, n int, err error) {
	d := NewDecoder(b)
	if v, err = d.Next(); err != nil {
		return nil, 0, err
	}
	return v, d.pos, nil
}

// DecodeAll decodes b as one message, value by value. When it fails it
// returns the values before the failure with the error: junk behind the
// arguments of a command is common and need not matter.
func DecodeAll(b []byte) ([]any, error) { return NewDecoder(b).All() }

// All decodes the values that are left, as [DecodeAll] does.
func (d *Decoder) All() ([]any, error) {
	var vs []any
	for d.Len() > 0 {
		v, err := d.Next()
		if err != nil {
			return vs, err
		}
		if vs, err = push(d, vs, v); err != nil {
			return vs, err
		}
	}
	return vs, nil
}

// Decoder decodes the values of one message one by one.
type Decoder struct {
	b          []byte
	pos        int
	properties int
	complex    int // objects and arrays begun so far: what a reference may point to
	budget     int // bytes of memory that may still be taken
	avm        avmTables
}

// NewDecoder returns a decoder of the message b. The values do not keep b.
func NewDecoder(b []byte) *Decoder {
	return &Decoder{b: b, budget: fixedMemory + memoryPerByte*len(b)}
}

// Frugal gives the values from here on no more than three times the length of the
// message and so many bytes of memory, where they would have 56 KiB.
func (d *Decoder) Frugal(extra int) { d.budget = min(d.budget, extra+memoryPerByte*len(d.b)) }

// What a decoder may allocate: a message of ordinary values costs less, one that
// is nothing but empty ones would cost forty times its length.
const (
	fixedMemory   = 56 << 10
	memoryPerByte = 3
)

// The sizes of what values are made of.
const (
	sizeOfWord  = 8
	sizeOfValue = 2 * sizeOfWord // an interface, the head of a string
	sizeOfBox   = 5 * sizeOfWord // the head of an object or array within a value
)

// spend takes n bytes of memory from the budget.
func (d *Decoder) spend(n int) error {
	if d.budget -= n; d.budget < 0 {
		return fmt.Errorf("%d bytes that cost too much memory: %w", len(d.b), ErrLimit)
	}
	return nil
}

// push appends v to s.
func push[T any](d *Decoder, s []T, v T) ([]T, error) {
	if len(s) < cap(s) {
		return append(s, v), nil
	}
	size := max(4, 2*len(s))
	if err := d.spend(size * int(reflect.TypeFor[T]().Size())); err != nil {
		return s, err
	}
	return append(append(make([]T, 0, size), s...), v), nil
}

// Len returns the number of bytes that are left.
func (d *Decoder) Len() int { return len(d.b) - d.pos }

// Next decodes the next value. At the end of the message it returns
// [ErrShort]. After an error the decoder is of no further use.
func (d *Decoder) Next() (any, error) {
	at := d.pos
	v, err := d.value(0)
	if err != nil {
		return nil, fmt.Errorf("decoding the value at byte %d: %w", at, err)
	}
	return v, nil
}

func (d *Decoder) value(depth int) (any, error) {
	mark, err := d.u8()
	if err != nil {
		return nil, err
	}
	switch mark {
	case markNumber:
		return d.number()
	case markBoolean:
		v, err := d.u8()
		return v != 0, err
	case markString:
		return d.short()
	case markNull:
		return nil, nil
	case markUndefined:
		return Undefined{}, nil
	case markUnsupported:
		return Unsupported{}, nil
	case markReference:
		return d.reference()
	case markDate:
		return d.date()
	case markLongString:
		return d.long()
	case markXML:
		s, err := d.long()
		return XML(s), err
	case markAVMPlus:
		return d.avmValue(depth)
	}
	return d.container(mark, depth)
}

func (d *Decoder) container(mark uint8, depth int) (any, error) {
	if err := checkDepth(depth); err != nil {
		return nil, err
	}
	d.complex++
	if err := d.spend(sizeOfBox); err != nil {
		return nil, err
	}
	switch mark {
	case markObject:
		ps, err := d.object(depth, false)
		return Object(ps), err
	case markECMAArray:
		if _, err := d.u32(); err != nil { // the count is a guess of the sender
			return nil, err
		}
		ps, err := d.object(depth, true)
		return ECMAArray(ps), err
	case markStrictArray:
		return d.array(depth)
	case markTyped:
		class, err := d.short()
		if err != nil {
			return nil, err
		}
		ps, err := d.object(depth, false)
		return TypedObject{Class: class, Properties: ps}, err
	}
	return nil, fmt.Errorf("marker %#02x: %w", mark, ErrMarker)
}

// object decodes properties up to the end marker. Some encoders leave out the
// end of an ECMA array that is the last thing in a message.
func (d *Decoder) object(depth int, mayBeCut bool) ([]Property, error) {
	ps := []Property{}
	for {
		if mayBeCut && d.cutHere() {
			return ps, nil
		}
		key, err := d.short()
		if err != nil {
			return nil, err
		}
		if key == "" && d.Len() > 0 && d.b[d.pos] == markObjectEnd {
			d.pos++
			return ps, nil
		}
		if err := d.countProperty(); err != nil {
			return nil, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if ps, err = push(d, ps, Property{key, v}); err != nil {
			return nil, err
		}
	}
}

// cutHere tells whether nothing is left but the first bytes of an end marker,
// and skips them.
func (d *Decoder) cutHere() bool {
	rest := d.b[d.pos:]
	if len(rest) > 2 {
		return false
	}
	for _, c := range rest {
		if c != 0 {
			return false
		}
	}
	d.pos = len(d.b)
	return true
}

func (d *Decoder) array(depth int) (any, error) {
	n, err := d.u32()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(d.Len()) { // every value has at least a marker
		return nil, fmt.Errorf("array of %d values: %w", n, ErrShort)
	}
	if err := d.spend(int(n) * sizeOfValue); err != nil {
		return nil, err
	}
	vs := make(StrictArray, 0, n)
	for range n {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

func (d *Decoder) reference() (any, error) {
	i, err := d.u16()
	if err != nil {
		return nil, err
	}
	if int(i) >= d.complex {
		return nil, fmt.Errorf("index %d of %d: %w", i, d.complex, ErrReference)
	}
	return Reference(i), nil
}

func (d *Decoder) date() (any, error) {
	ms, err := d.number()
	if err != nil {
		return nil, err
	}
	if err := d.spend(sizeOfValue); err != nil {
		return nil, err
	}
	zone, err := d.u16()
	return Date{Milliseconds: ms, Zone: int16(zone)}, err
}

func (d *Decoder) countProperty() error {
	if d.properties == MaxProperties {
		return fmt.Errorf("more than %d properties: %w", MaxProperties, ErrLimit)
	}
	d.properties++
	return nil
}

func checkDepth(depth int) error {
	if depth == MaxDepth {
		return fmt.Errorf("nesting more than %d values: %w", MaxDepth, ErrLimit)
	}
	return nil
}

// take returns the next n bytes of the input itself.
func (d *Decoder) take(n uint32) ([]byte, error) {
	if uint64(n) > uint64(d.Len()) {
		return nil, ErrShort
	}
	b := d.b[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return b, nil
}

func (d *Decoder) u8() (uint8, error) {
	b, err := d.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (d *Decoder) u16() (uint16, error) {
	b, err := d.take(2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

func (d *Decoder) u32() (uint32, error) {
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (d *Decoder) number() (float64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	if err := d.spend(sizeOfWord); err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func (d *Decoder) short() (string, error) {
	n, err := d.u16()
	if err != nil {
		return "", err
	}
	return d.text(uint32(n))
}

func (d *Decoder) long() (string, error) {
	n, err := d.u32()
	if err != nil {
		return "", err
	}
	return d.text(n)
}

// text returns the next n bytes as a string.
func (d *Decoder) text(n uint32) (string, error) {
	b, err := d.take(n)
	if err != nil || n == 0 {
		return "", err
	}
	if err := d.spend(sizeOfValue + int(n)); err != nil {
		return "", err
	}
	return string(b), nil
}
