package amf0

import (
	"fmt"
	"math"
	"strconv"
)

// avmTables are what AMF3 strings and classes refer back to within a message
// (AMF3 specification, 2.2).
type avmTables struct {
	strings  []string
	traits   []avmTraits
	expanded int
}

// avmTraits describe the class of an object.
type avmTraits struct {
	class   string
	sealed  []string
	dynamic bool
}

// The type markers of AMF3 (chapter 3.1).
const (
	avmUndefined = 0x00
	avmNull      = 0x01
	avmFalse     = 0x02
	avmTrue      = 0x03
	avmInteger   = 0x04
	avmDouble    = 0x05
	avmString    = 0x06
	avmXMLDoc    = 0x07
	avmDate      = 0x08
	avmArray     = 0x09
	avmObject    = 0x0a
	avmXML       = 0x0b
	avmBytes     = 0x0c
)

// avmValue decodes an AMF3 value into the AMF0 value that means the same:
// integers become numbers and byte arrays strings. Vectors, dictionaries and
// references to whole objects do not occur in RTMP commands and are refused.
func (d *Decoder) avmValue(depth int) (any, error) {
	mark, err := d.u8()
	if err != nil {
		return nil, err
	}
	switch mark {
	case avmUndefined:
		return Undefined{}, nil
	case avmNull:
		return nil, nil
	case avmFalse:
		return false, nil
	case avmTrue:
		return true, nil
	case avmInteger:
		u, err := d.u29()
		if err != nil {
			return nil, err
		}
		return float64(int32(u<<3) >> 3), d.spend(sizeOfWord)
	case avmDouble:
		return d.number()
	case avmString:
		return d.avmText()
	case avmXMLDoc, avmXML:
		s, err := d.avmBlob()
		return XML(s), err
	case avmBytes:
		return d.avmBlob()
	case avmDate:
		if _, err := d.avmInline(); err != nil {
			return nil, err
		}
		ms, err := d.number()
		if err != nil {
			return nil, err
		}
		return Date{Milliseconds: ms}, d.spend(sizeOfValue)
	}
	if err := checkDepth(depth); err != nil {
		return nil, err
	}
	if err := d.spend(sizeOfBox); err != nil {
		return nil, err
	}
	switch mark {
	case avmArray:
		return d.avmArray(depth)
	case avmObject:
		return d.avmObject(depth)
	}
	return nil, fmt.Errorf("AMF3 marker %#02x: %w", mark, ErrMarker)
}

// u29 decodes a variable length integer of 29 bits (AMF3, 1.3.1).
func (d *Decoder) u29() (uint32, error) {
	var u uint32
	for range 3 {
		c, err := d.u8()
		if err != nil {
			return 0, err
		}
		if c < 0x80 {
			return u<<7 | uint32(c), nil
		}
		u = u<<7 | uint32(c&0x7f)
	}
	c, err := d.u8()
	return u<<8 | uint32(c), err
}

// avmInline decodes the head of a value that may be a reference, and refuses
// references.
func (d *Decoder) avmInline() (uint32, error) {
	u, err := d.u29()
	if err != nil {
		return 0, err
	}
	if u&1 == 0 {
		return 0, fmt.Errorf("AMF3 object %d: %w", u>>1, ErrReference)
	}
	return u >> 1, nil
}

func (d *Decoder) avmBlob() (string, error) {
	n, err := d.avmInline()
	if err != nil {
		return "", err
	}
	return d.text(n)
}

// avmText decodes a string or a reference to one.
func (d *Decoder) avmText() (string, error) {
	u, err := d.u29()
	if err != nil {
		return "", err
	}
	if u&1 == 0 {
		return d.avmKnownText(int(u >> 1))
	}
	s, err := d.text(u >> 1)
	if err == nil && s != "" {
		d.avm.strings, err = push(d, d.avm.strings, s)
	}
	return s, err
}

// avmName decodes the name of a class or a property, which has to be one that
// AMF0 can express too.
func (d *Decoder) avmName() (string, error) {
	s, err := d.avmText()
	if err == nil && len(s) > math.MaxUint16 {
		return "", fmt.Errorf("AMF3 name of %d bytes: %w", len(s), ErrTooLong)
	}
	return s, err
}

func (d *Decoder) avmKnownText(i int) (string, error) {
	if i >= len(d.avm.strings) {
		return "", fmt.Errorf("AMF3 string %d of %d: %w", i, len(d.avm.strings), ErrReference)
	}
	if err := d.spend(sizeOfValue); err != nil {
		return "", err
	}
	s := d.avm.strings[i]
	if d.avm.expanded += len(s); d.avm.expanded > MaxExpanded {
		return "", fmt.Errorf("AMF3 strings of more than %d bytes: %w", MaxExpanded, ErrLimit)
	}
	return s, nil
}

func (d *Decoder) avmArray(depth int) (any, error) {
	n, err := d.avmInline()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(d.Len()) {
		return nil, fmt.Errorf("AMF3 array of %d values: %w", n, ErrShort)
	}
	named, err := d.avmDynamic(ECMAArray{}, depth)
	if err != nil {
		return nil, err
	}
	if err := d.spend(int(n) * sizeOfValue); err != nil {
		return nil, err
	}
	dense := make(StrictArray, 0, n)
	for range n {
		v, err := d.avmValue(depth + 1)
		if err != nil {
			return nil, err
		}
		dense = append(dense, v)
	}
	if len(named) == 0 {
		return dense, nil
	}
	for i, v := range dense {
		if err := d.countProperty(); err != nil {
			return nil, err
		}
		if named, err = push(d, named, Property{strconv.Itoa(i), v}); err != nil {
			return nil, err
		}
	}
	return ECMAArray(named), nil
}

func (d *Decoder) avmObject(depth int) (any, error) {
	u, err := d.avmInline()
	if err != nil {
		return nil, err
	}
	t, err := d.avmClass(u)
	if err != nil {
		return nil, err
	}
	ps := []Property{}
	for _, name := range t.sealed {
		if err := d.countProperty(); err != nil {
			return nil, err
		}
		v, err := d.avmValue(depth + 1)
		if err != nil {
			return nil, err
		}
		if ps, err = push(d, ps, Property{name, v}); err != nil {
			return nil, err
		}
	}
	if t.dynamic {
		if ps, err = d.avmDynamic(ps, depth); err != nil {
			return nil, err
		}
	}
	if t.class != "" {
		return TypedObject{Class: t.class, Properties: ps}, nil
	}
	return Object(ps), nil
}

// avmClass decodes the description of an object's class, of which u is the
// head without the bit that says that the object is no reference.
func (d *Decoder) avmClass(u uint32) (avmTraits, error) {
	const known, externalizable, dynamic, count = 1, 2, 4, 3
	if u&known == 0 {
		i := int(u >> 1)
		if i >= len(d.avm.traits) {
			return avmTraits{}, fmt.Errorf("AMF3 class %d of %d: %w", i, len(d.avm.traits), ErrReference)
		}
		return d.avm.traits[i], nil
	}
	if u&externalizable != 0 {
		return avmTraits{}, fmt.Errorf("AMF3 object with an encoding of its own: %w", ErrMarker)
	}
	class, err := d.avmName()
	if err != nil {
		return avmTraits{}, err
	}
	t := avmTraits{class: class, dynamic: u&dynamic != 0}
	for range u >> count {
		if len(t.sealed) == MaxProperties {
			return avmTraits{}, fmt.Errorf("AMF3 class of more than %d properties: %w", MaxProperties, ErrLimit)
		}
		name, err := d.avmName()
		if err != nil {
			return avmTraits{}, err
		}
		if t.sealed, err = push(d, t.sealed, name); err != nil {
			return avmTraits{}, err
		}
	}
	d.avm.traits, err = push(d, d.avm.traits, t)
	return t, err
}

// avmDynamic decodes named values up to the empty name and appends them to ps.
func (d *Decoder) avmDynamic(ps []Property, depth int) ([]Property, error) {
	for {
		name, err := d.avmName()
		if err != nil || name == "" {
			return ps, err
		}
		if err := d.countProperty(); err != nil {
			return nil, err
		}
		v, err := d.avmValue(depth + 1)
		if err != nil {
			return nil, err
		}
		if ps, err = push(d, ps, Property{name, v}); err != nil {
			return nil, err
		}
	}
}
