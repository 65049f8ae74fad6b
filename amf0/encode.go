package amf0

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Append encodes v and appends it to b. Beside the types that the package
// lists it takes int, int64 and uint32, which become numbers. When it fails
// it returns b as it was.
func Append(b []byte, v any) ([]byte, error) {
	out, err := appendValue(b, v, 0)
	if err != nil {
		return b, err
	}
	return out, nil
}

// AppendAll encodes several values, one behind the other.
func AppendAll(b []byte, vs ...any) ([]byte, error) {
	out := b
	for _, v := range vs {
		var err error
		if out, err = appendValue(out, v, 0); err != nil {
			return b, err
		}
	}
	return out, nil
}

func appendValue(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, markNull), nil
	case float64:
		return appendNumber(b, v), nil
	case int:
		return appendNumber(b, float64(v)), nil
	case int64:
		return appendNumber(b, float64(v)), nil
	case uint32:
		return appendNumber(b, float64(v)), nil
	case bool:
		if v {
			return append(b, markBoolean, 1), nil
		}
		return append(b, markBoolean, 0), nil
	case string:
		return appendString(b, v)
	case Undefined:
		return append(b, markUndefined), nil
	case Unsupported:
		return append(b, markUnsupported), nil
	case Date:
		b = binary.BigEndian.AppendUint64(append(b, markDate), math.Float64bits(v.Milliseconds))
		return binary.BigEndian.AppendUint16(b, uint16(v.Zone)), nil
	case XML:
		return appendLong(append(b, markXML), string(v))
	case Reference:
		return binary.BigEndian.AppendUint16(append(b, markReference), uint16(v)), nil
	}
	return appendContainer(b, v, depth)
}

func appendContainer(b []byte, v any, depth int) ([]byte, error) {
	if depth == MaxDepth {
		return nil, fmt.Errorf("nesting more than %d values: %w", MaxDepth, ErrLimit)
	}
	switch v := v.(type) {
	case Object:
		return appendProperties(append(b, markObject), v, depth)
	case ECMAArray:
		b = binary.BigEndian.AppendUint32(append(b, markECMAArray), uint32(len(v)))
		return appendProperties(b, Object(v), depth)
	case StrictArray:
		return appendArray(b, v, depth)
	case TypedObject:
		b, err := appendShort(append(b, markTyped), v.Class)
		if err != nil {
			return nil, err
		}
		return appendProperties(b, v.Properties, depth)
	}
	return nil, fmt.Errorf("encoding %T: %w", v, ErrType)
}

func appendArray(b []byte, v StrictArray, depth int) ([]byte, error) {
	if len(v) > math.MaxUint32 {
		return nil, ErrTooLong
	}
	b = binary.BigEndian.AppendUint32(append(b, markStrictArray), uint32(len(v)))
	for _, e := range v {
		var err error
		if b, err = appendValue(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendProperties(b []byte, ps Object, depth int) ([]byte, error) {
	for _, p := range ps {
		var err error
		if b, err = appendShort(b, p.Key); err != nil {
			return nil, err
		}
		if b, err = appendValue(b, p.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, 0, 0, markObjectEnd), nil
}

func appendNumber(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, markNumber), math.Float64bits(v))
}

func appendString(b []byte, s string) ([]byte, error) {
	if len(s) > math.MaxUint16 {
		return appendLong(append(b, markLongString), s)
	}
	return appendShort(append(b, markString), s)
}

func appendShort(b []byte, s string) ([]byte, error) {
	if len(s) > math.MaxUint16 {
		return nil, fmt.Errorf("encoding a name of %d bytes: %w", len(s), ErrTooLong)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...), nil
}

func appendLong(b []byte, s string) ([]byte, error) {
	if len(s) > math.MaxUint32 {
		return nil, fmt.Errorf("encoding a string of %d bytes: %w", len(s), ErrTooLong)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...), nil
}
