package conf

import (
	"errors"
	"reflect"
	"strings"
)

// Source is everything that a configuration is made of. The later wins: the
// defaults, the file, the environment, the flags.
type Source struct {
	// Name is the file's name for messages, Doc its content. An empty
	// document configures nothing.
	Name string
	Doc  []byte
	// Env are the variables of the environment, each "NAME=value"; those
	// that do not begin with [Prefix] and those without a value do not count.
	Env []string
	// Set are flags, each "section.key=value".
	Set []string
}

// Values are the sections in force. They are immutable.
type Values struct {
	sections []Section
	values   map[string]reflect.Value
	places   map[string]place
	warnings []string
}

// Decode lays src over the defaults of sections. absent names sections of
// parts that this binary was built without, each with the name of the part.
// The error, if there is one, is of type [Errors] and holds all mistakes.
func Decode(src Source, sections []Section, absent map[string]string) (*Values, error) {
	d := &decoder{
		sections: sections,
		absent:   absent,
		values:   map[string]reflect.Value{},
		places:   map[string]place{},
		budget:   maxNodes,
	}
	for _, s := range sections {
		v := reflect.New(reflect.TypeOf(s.Default)).Elem()
		v.Set(reflect.ValueOf(s.Default))
		d.values[s.Name] = v
	}

	d.file(src.Name, src.Doc)
	d.env(src.Env)
	for _, assignment := range src.Set {
		d.flag(assignment)
	}
	for _, s := range sections {
		d.validate(s.Name)
	}
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	return &Values{sections, d.values, d.places, d.warnings}, nil
}

// Section returns the section with that name, nil if there is none.
func (v *Values) Section(name string) Validator {
	val, ok := v.values[name]
	if !ok {
		return nil
	}
	s, _ := reflect.TypeAssert[Validator](val)
	return s
}

// Warnings are things that are not mistakes, but may be meant differently.
func (v *Values) Warnings() []string { return v.warnings }

// Where tells where a key was configured, empty for a default.
func (v *Values) Where(path string) string { return v.places[path].String() }

// validate asks a section what is wrong with it. A key that could not even be
// decoded is not reported again.
func (d *decoder) validate(name string) {
	s, ok := reflect.TypeAssert[Validator](d.values[name])
	if !ok {
		return
	}
	for _, err := range flatten(s.Validate()) {
		path, text := name, err.Error()
		if k, rest, found := strings.Cut(text, ": "); found && d.exists(name+"."+k) {
			path, text = name+"."+k, rest
		}
		if !d.failed(path) {
			d.errs = append(d.errs, newError(d.placeOf(path), path, text))
		}
	}
}

// exists tells whether a path that a section named is a key of it.
func (d *decoder) exists(path string) bool {
	name, rest, _ := strings.Cut(path, ".")
	t := d.values[name].Type()
	for rest != "" {
		var k string
		k, rest, _ = strings.Cut(rest, ".")
		k, _, _ = strings.Cut(k, "[")
		if shapeOf(t) == mapping {
			t = t.Elem()
			continue
		}
		f, ok := find(t, k)
		if !ok {
			return false
		}
		for t = f.typ; shapeOf(t) == list; {
			t = t.Elem()
		}
	}
	return true
}

func (d *decoder) failed(path string) bool {
	for _, e := range d.errs {
		if e.Key == path || strings.HasPrefix(path, e.Key+".") || strings.HasPrefix(path, e.Key+"[") {
			return true
		}
	}
	return false
}

// placeOf returns where a path was configured, or else what holds it.
func (d *decoder) placeOf(path string) place {
	for path != "" {
		if p, ok := d.places[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return place{}
}

// forget drops the places of what a list or a map held before.
func (d *decoder) forget(path string) {
	for p := range d.places {
		if strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			delete(d.places, p)
		}
	}
}

// flatten takes apart what errors.Join joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) || errors.Join(many.Unwrap()...).Error() != err.Error() {
		return []error{err}
	}
	var all []error
	for _, e := range many.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func newError(at place, path, text string) *Error {
	return &Error{Where: at.String(), Key: path, Text: text, at: at}
}
