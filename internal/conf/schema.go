package conf

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Prefix begins the name of every variable of the environment that sets a key.
const Prefix = "SLUICE_"

// Validator is a section: a struct that can tell what is wrong with it.
type Validator interface {
	// Validate reports all mistakes at once, joined, each as "key: text".
	Validate() error
}

// Section is one top-level key of the configuration.
type Section struct {
	Name    string
	Default Validator // a struct, not a pointer
}

// field is one key of a struct.
type field struct {
	name string // snake_case
	doc  string
	typ  reflect.Type
	at   int // index in the struct
}

// fieldsOf returns the keys of a struct in their order. A field without a
// yaml tag is no key.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); f.IsExported() && name != "" && name != "-" {
			all = append(all, field{name, f.Tag.Get("doc"), f.Type, f.Index[0]})
		}
	}
	return all
}

// docOf returns what a struct as a whole is for: the doc tag of its blank
// field.
func docOf(t reflect.Type) string {
	if f, ok := t.FieldByName("_"); ok {
		return f.Tag.Get("doc")
	}
	return ""
}

// isText tells whether values of the type are written as a text of their own.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// shape is how a value stands in a document.
type shape uint8

const (
	scalar shape = iota
	list
	mapping // with any keys
	section // with the keys of a struct
)

func shapeOf(t reflect.Type) shape {
	switch {
	case isText(t):
		return scalar
	case t.Kind() == reflect.Struct:
		return section
	case t.Kind() == reflect.Map:
		return mapping
	case t.Kind() == reflect.Slice:
		return list
	}
	return scalar
}

// key is one key of the whole configuration.
type key struct {
	field
	path string // "http.listen"
	env  string // "SLUICE_HTTP_LISTEN"
}

// keysOf lists the keys of a section, those of structs in it included, each
// struct before its keys.
func keysOf(path string, t reflect.Type) []key {
	var all []key
	for _, f := range fieldsOf(t) {
		p := path + "." + f.name
		all = append(all, key{f, p, envName(p)})
		if shapeOf(f.typ) == section {
			all = append(all, keysOf(p, f.typ)...)
		}
	}
	return all
}

func envName(path string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// Check reports what is wrong with the declaration of sections: keys that are
// not snake_case or say nothing about themselves, types that cannot be
// decoded, two keys with one variable of the environment.
func Check(sections []Section) error {
	var errs []error
	names := map[string]string{}
	for _, s := range sections {
		t := reflect.TypeOf(s.Default)
		if t == nil || t.Kind() != reflect.Struct {
			errs = append(errs, fmt.Errorf("%s: the section is a %T, not a struct", s.Name, s.Default))
			continue
		}
		for _, k := range append([]key{{path: s.Name, env: envName(s.Name), field: field{name: s.Name, doc: "-", typ: t}}},
			keysOf(s.Name, t)...) {
			errs = append(errs, checkKey(k))
			if other, taken := names[k.env]; taken {
				errs = append(errs, fmt.Errorf("%s: %s is the variable of %s too", k.path, k.env, other))
			}
			names[k.env] = k.path
		}
	}
	return errors.Join(errs...)
}

func checkKey(k key) error {
	switch {
	case strings.Trim(k.name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return fmt.Errorf("%s: %q is not snake_case", k.path, k.name)
	case k.doc == "":
		return fmt.Errorf("%s: no doc tag", k.path)
	case shapeOf(k.typ) == section:
		return nil // its keys are checked by themselves
	}
	return checkType(k.path, k.typ)
}

func checkType(path string, t reflect.Type) error {
	switch shapeOf(t) {
	case list:
		return checkType(path, t.Elem())
	case mapping:
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("%s: the keys of a %v are no texts", path, t)
		}
		return checkType(path, t.Elem())
	case section:
		var errs []error
		for _, f := range fieldsOf(t) {
			errs = append(errs, checkType(path+"."+f.name, f.typ))
		}
		return errors.Join(errs...)
	case scalar:
	}
	switch {
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && isText(t), basic(t) != "":
		return nil
	case isText(t):
		return fmt.Errorf("%s: a %v can be read, but not printed", path, t)
	}
	return fmt.Errorf("%s: no way to decode a %v", path, t)
}

// wants says what a value of the type looks like.
func wants(t reflect.Type) string {
	switch shapeOf(t) {
	case list:
		return "a list, such as [a, b]"
	case mapping, section:
		return "a mapping: keys with values, indented below it"
	case scalar:
	}
	if isText(t) {
		return "text"
	}
	return basic(t)
}

// basic is [wants] for the kinds that Go has itself, empty for others.
func basic(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	default:
		return ""
	}
}
