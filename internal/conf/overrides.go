package conf

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// env decodes the variables of the environment: those of whole sections
// first, so that those of single keys win over them. A variable without a
// value does not count. One that belongs to no key only warns: Kubernetes sets
// some.
func (d *decoder) env(environ []string) {
	type variable struct{ path, name, value string }
	paths := map[string]string{}
	for _, s := range d.sections {
		paths[envName(s.Name)] = s.Name
		for _, k := range keysOf(s.Name, d.values[s.Name].Type()) {
			paths[k.env] = k.path
		}
	}

	var set []variable
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		path, known := paths[name]
		switch {
		case !strings.HasPrefix(name, Prefix) || value == "":
		case !known:
			d.warnings = append(d.warnings, name+" sets nothing: "+d.noVariable(name, paths))
		default:
			set = append(set, variable{path, name, value})
		}
	}
	slices.Sort(d.warnings)
	slices.SortFunc(set, func(a, b variable) int {
		return cmp.Or(cmp.Compare(strings.Count(a.path, "."), strings.Count(b.path, ".")), cmp.Compare(a.name, b.name))
	})
	for _, v := range set {
		name, rest, _ := strings.Cut(v.path, ".")
		d.assign(place{from: fromEnv, name: v.name}, d.values[name], name, rest, v.value)
	}
}

// noVariable says why a variable belongs to no key.
func (d *decoder) noVariable(name string, paths map[string]string) string {
	for section, part := range d.absent {
		if name == envName(section) || strings.HasPrefix(name, envName(section)+"_") {
			return "this binary was built without " + part
		}
	}
	var near []string
	for other := range paths {
		if distance(name, other) <= 2 {
			near = append(near, other)
		}
	}
	if len(near) == 0 {
		return "there is no such key"
	}
	return "did you mean " + slices.Min(near) + "?"
}

// flag decodes one flag: "section.key=value".
func (d *decoder) flag(assignment string) {
	path, value, ok := strings.Cut(assignment, "=")
	name, rest, _ := strings.Cut(path, ".")
	at := place{from: fromFlag, name: "--set " + path}
	if !ok || name == "" {
		at.name = "--set " + assignment
		d.errs = append(d.errs, newError(at, "", "write --set section.key=value"))
		return
	}
	if !utf8.ValidString(path) {
		at.name = fmt.Sprintf("--set %q", path)
		d.errs = append(d.errs, newError(at, "", "not UTF-8 text"))
		return
	}
	v, ok := d.values[name]
	if !ok {
		d.errs = append(d.errs, newError(at, name, d.noSection(name)))
		return
	}
	d.assign(at, v, name, rest, value)
}

// assign decodes a value into the key rest of v, which is what path names.
func (d *decoder) assign(at place, v reflect.Value, path, rest, value string) bool {
	if rest == "" {
		d.places[path] = at
		return d.assignValue(at, v, path, value)
	}
	k, rest, _ := strings.Cut(rest, ".")
	path += "." + k
	if shapeOf(v.Type()) == mapping && k != "" {
		one := reflect.New(v.Type().Elem()).Elem()
		name := reflect.ValueOf(k).Convert(v.Type().Key())
		if old := v.MapIndex(name); old.IsValid() {
			one.Set(old)
		}
		ok := d.assign(at, one, path, rest, value)
		if ok {
			v.Set(withKey(v, name, one))
		}
		return ok
	}
	f, ok := find(v.Type(), k)
	if !ok {
		text := "unknown key"
		if shapeOf(v.Type()) == section {
			text += hint(k, names(v.Type()))
		}
		d.errs = append(d.errs, newError(at, path, text))
		return false
	}
	return d.assign(at, v.Field(f.at), path, rest, value)
}

// withKey returns a copy of the map m with one key more.
func withKey(m, k, v reflect.Value) reflect.Value {
	out := reflect.MakeMap(m.Type())
	for it := m.MapRange(); it.Next(); {
		out.SetMapIndex(it.Key(), it.Value())
	}
	out.SetMapIndex(k, v)
	return out
}

// assignValue reads the text of a scalar as it stands, anything else as YAML.
func (d *decoder) assignValue(at place, v reflect.Value, path, value string) bool {
	var err error
	if shapeOf(v.Type()) == scalar {
		if utf8.ValidString(value) {
			err = setText(v, value)
		} else {
			err = errors.New("not UTF-8 text")
		}
	} else {
		var doc document
		if doc, err = parse([]byte(value)); err == nil {
			return (&source{d, doc, at.from, at.name}).decodeRoot(v, path)
		}
		err = fmt.Errorf("reading it as YAML: %w", err)
	}
	if err != nil {
		d.errs = append(d.errs, newError(at, path, err.Error()))
	}
	return err == nil
}

func (s *source) decodeRoot(v reflect.Value, path string) bool {
	if s.root == nil {
		return true
	}
	return s.decode(s.root, v, path)
}
