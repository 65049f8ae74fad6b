// Package amf0 reads and writes the Action Message Format 0, in which RTMP
// commands and FLV script data are written (AMF0 specification, 2007), and
// reads the AMF3 values that may be embedded in it.
//
// Values are plain Go values:
//
//	number             float64
//	boolean            bool
//	string             string (the long form beyond 65,535 bytes)
//	null               nil
//	undefined          [Undefined]
//	unsupported        [Unsupported]
//	object             [Object]
//	ECMA array         [ECMAArray]
//	strict array       [StrictArray]
//	date               [Date]
//	XML document       [XML]
//	typed object       [TypedObject]
//	reference          [Reference]
//
// The decoder is made for bytes from strangers: nesting, properties and
// everything that is allocated are bounded, and counts are never trusted.
package amf0

import (
	"errors"
	"slices"
	"strconv"
)

// Limits of what is decoded. They hold for one message, that is for one
// [Decoder].
const (
	MaxDepth      = 16      // objects and arrays within each other
	MaxProperties = 1024    // of all objects and ECMA arrays together
	MaxExpanded   = 1 << 20 // bytes of strings that AMF3 string references stand for
)

// Errors of this package. They are wrapped with the place where they occurred.
var (
	// ErrShort reports that the input ends before the value does.
	ErrShort = errors.New("amf0: input too short")
	// ErrMarker reports a type marker that begins no value.
	ErrMarker = errors.New("amf0: unknown type marker")
	// ErrLimit reports a value that is nested too deeply or has too many properties.
	ErrLimit = errors.New("amf0: limit exceeded")
	// ErrReference reports a reference to a value that is not there.
	ErrReference = errors.New("amf0: bad reference")
	// ErrType reports a Go value that has no encoding.
	ErrType = errors.New("amf0: type cannot be encoded")
	// ErrTooLong reports a string or an array that is too long for its length field.
	ErrTooLong = errors.New("amf0: value too long")
)

// Property is a named value.
type Property struct {
	Key   string
	Value any
}

// Object is an anonymous object. Its properties keep their order.
type Object []Property

// Get returns the value of the last property with the given key: a later
// property replaces an earlier one of the same name.
func (o Object) Get(key string) (any, bool) { return get(o, key) }

// ECMAArray is an associative array. Its properties keep their order.
type ECMAArray []Property

// Get returns the value of the last property with the given key.
func (a ECMAArray) Get(key string) (any, bool) { return get(a, key) }

func get(ps []Property, key string) (any, bool) {
	for _, p := range slices.Backward(ps) {
		if p.Key == key {
			return p.Value, true
		}
	}
	return nil, false
}

// StrictArray is an array of values without names.
type StrictArray []any

// TypedObject is an object of a named class.
type TypedObject struct {
	Class      string
	Properties Object
}

// Undefined is the undefined value.
type Undefined struct{}

// Unsupported stands for a value that its sender could not write.
type Unsupported struct{}

// Date is a point in time.
type Date struct {
	Milliseconds float64 // since 1970-01-01 UTC
	Zone         int16   // reserved, normally 0
}

// XML is the text of an XML document.
type XML string

// Reference is the index of an object or array that began earlier in the same
// message. It is checked but not followed, so that no message can describe
// more than it contains.
type Reference uint16

// Text returns a string value. Numbers count as strings, because some
// encoders send a stream key of digits as a number.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// Properties returns the properties of an object of any sort, or nil when v
// is none.
func Properties(v any) Object {
	switch v := v.(type) {
	case Object:
		return v
	case ECMAArray:
		return Object(v)
	case TypedObject:
		return v.Properties
	}
	return nil
}

// The type markers (chapter 2.1).
const (
	markNumber      = 0x00
	markBoolean     = 0x01
	markString      = 0x02
	markObject      = 0x03
	markNull        = 0x05
	markUndefined   = 0x06
	markReference   = 0x07
	markECMAArray   = 0x08
	markObjectEnd   = 0x09
	markStrictArray = 0x0a
	markDate        = 0x0b
	markLongString  = 0x0c
	markUnsupported = 0x0d
	markXML         = 0x0f
	markTyped       = 0x10
	markAVMPlus     = 0x11
)
