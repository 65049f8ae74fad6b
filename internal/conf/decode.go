package conf

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxNodes bounds how many nodes are decoded, those that aliases repeat
// included.
const maxNodes = 100_000

// decoder collects the values, where they came from, and the mistakes.
type decoder struct {
	sections []Section
	absent   map[string]string
	values   map[string]reflect.Value
	places   map[string]place
	warnings []string
	errs     Errors
	budget   int
}

// source is one document that is being decoded.
type source struct {
	*decoder
	document
	from origin
	name string // of the file, the variable or the flag
}

// at returns the place of a token. Only files have lines.
func (s *source) at(p token.Position) place {
	if s.from == fromFile {
		return place{s.from, s.name, p.Line, p.Column}
	}
	return place{from: s.from, name: s.name}
}

func (s *source) fail(at token.Position, path, format string, args ...any) {
	s.errs = append(s.errs, newError(s.at(at), path, fmt.Sprintf(format, args...)))
}

// entry is one key of a mapping.
type entry struct {
	name  string
	at    token.Position
	value ast.Node
}

// file decodes the file.
func (d *decoder) file(name string, src []byte) {
	doc, err := parse(src)
	if err != nil {
		if pe, ok := errors.AsType[*parseError](err); ok {
			d.errs = append(d.errs, newError(place{fromFile, name, pe.line, pe.col}, "", pe.text))
		}
		return
	}
	s := &source{d, doc, fromFile, name}
	n := s.bare(doc.root)
	if n == nil {
		return
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		s.fail(start(n), "", "a configuration is a mapping of sections, this is %s", kindOf(n))
		return
	}
	for _, e := range s.entries(m, "") {
		v, ok := d.values[e.name]
		if !ok {
			s.fail(e.at, e.name, "%s", d.noSection(e.name))
			continue
		}
		d.places[e.name] = s.at(e.at)
		s.decode(e.value, v, e.name)
	}
}

// noSection says why there is no section with that name.
func (d *decoder) noSection(name string) string {
	if part, ok := d.absent[name]; ok {
		return "this binary was built without " + part
	}
	names := make([]string, len(d.sections))
	for i, s := range d.sections {
		names[i] = s.Name
	}
	return "unknown section" + hint(name, names)
}

// decode reads a node into v and tells whether it could. A node without a
// value changes nothing.
func (s *source) decode(n ast.Node, v reflect.Value, path string) bool {
	at := position(n)
	if !s.spend(at, path) {
		return false
	}
	if alias, ok := n.(*ast.AliasNode); ok && s.aliases[alias] == nil {
		s.fail(at, path, "no anchor &%s before this alias", alias.Value.GetToken().Value)
		return false
	}
	if tag, ok := n.(*ast.TagNode); ok && !strings.HasPrefix(tag.GetToken().Value, "!!") {
		s.fail(at, path, "the tag %s means nothing here", tag.GetToken().Value)
		return false
	}
	n = s.bare(n)
	if n == nil {
		return true
	}
	switch shapeOf(v.Type()) {
	case section:
		if m, ok := n.(ast.MapNode); ok {
			return s.decodeStruct(m, v, path)
		}
	case mapping:
		if m, ok := n.(ast.MapNode); ok {
			return s.decodeMap(m, v, path)
		}
	case list:
		if l, ok := n.(*ast.SequenceNode); ok {
			return s.decodeList(l, v, path)
		}
	case scalar:
		if text, ok := textOf(n, v.Type()); ok {
			if err := setText(v, text); err != nil {
				s.fail(position(n), path, "%s", err)
				return false
			}
			return true
		}
	}
	s.fail(position(n), path, "wants %s, this is %s", wants(v.Type()), got(n, v.Type()))
	return false
}

// spend takes a node from the budget and tells whether it lasts.
func (s *source) spend(at token.Position, path string) bool {
	if s.budget < 0 {
		return false // reported
	}
	if s.budget--; s.budget < 0 {
		s.fail(at, path, "the aliases make more than %d values of the document", maxNodes)
		return false
	}
	return true
}

func (s *source) decodeStruct(m ast.MapNode, v reflect.Value, path string) bool {
	ok := true
	for _, e := range s.entries(m, path) {
		p := path + "." + e.name
		f, found := find(v.Type(), e.name)
		if !found {
			s.fail(e.at, p, "unknown key%s", hint(e.name, names(v.Type())))
			ok = false
			continue
		}
		s.places[p] = s.at(e.at)
		ok = s.decode(e.value, v.Field(f.at), p) && ok
	}
	return ok
}

// decodeMap replaces a map.
func (s *source) decodeMap(m ast.MapNode, v reflect.Value, path string) bool {
	ok := true
	s.forget(path)
	out := reflect.MakeMap(v.Type())
	for _, e := range s.entries(m, path) {
		p := path + "." + e.name
		s.places[p] = s.at(e.at)
		one := reflect.New(v.Type().Elem()).Elem()
		ok = s.decode(e.value, one, p) && ok
		out.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), one)
	}
	if ok {
		v.Set(out)
	}
	return ok
}

// decodeList replaces a list.
func (s *source) decodeList(l *ast.SequenceNode, v reflect.Value, path string) bool {
	ok := true
	s.forget(path)
	out := reflect.MakeSlice(v.Type(), 0, len(l.Values))
	for i, n := range l.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		s.places[p] = s.at(position(n))
		one := reflect.New(v.Type().Elem()).Elem()
		ok = s.decode(n, one, p) && ok
		out = reflect.Append(out, one)
	}
	if ok {
		v.Set(out)
	}
	return ok
}

// entries lists the keys of a mapping: its own, then those that it merges from
// others ("<<") and does not have itself.
func (s *source) entries(m ast.MapNode, path string) []entry {
	var all []entry
	var merged []ast.Node
	seen := map[string]token.Position{}
	for it := m.MapRange(); it.Next(); {
		k := it.Key()
		if !s.spend(position(k), path) {
			return nil
		}
		if k.IsMergeKey() {
			merged = append(merged, it.Value())
			continue
		}
		name, at := s.nameOf(k), position(k)
		if first, twice := seen[name]; twice {
			s.fail(at, strings.TrimPrefix(path+"."+name, "."), "stands here twice, first in line %d", first.Line)
			continue
		}
		seen[name] = at
		all = append(all, entry{name, at, it.Value()})
	}
	for _, n := range merged {
		for _, e := range s.merge(n, path) {
			if _, has := seen[e.name]; !has {
				seen[e.name] = e.at
				all = append(all, e)
			}
		}
	}
	return all
}

// merge lists the keys that a merge key brings.
func (s *source) merge(n ast.Node, path string) []entry {
	if !s.spend(position(n), path) {
		return nil
	}
	switch m := s.bare(n).(type) {
	case ast.MapNode:
		return s.entries(m, path)
	case *ast.SequenceNode:
		var all []entry
		for _, n := range m.Values {
			all = append(all, s.merge(n, path)...)
		}
		return all
	}
	s.fail(position(n), path, "<< merges mappings, this is none")
	return nil
}

// bare returns what is behind anchors, aliases and tags, nil where there is no
// value.
func (s *source) bare(n ast.Node) ast.Node {
	for range MaxDepth {
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			n = s.aliases[x]
		case *ast.TagNode:
			n = x.Value
			if tk := x.GetToken(); tk.Value == "!!str" && n != nil && n.GetToken() != nil {
				if _, isScalar := n.(ast.ScalarNode); isScalar {
					n = ast.String(n.GetToken())
				}
			}
		case *ast.NullNode, *ast.CommentGroupNode:
			return nil
		default:
			return n
		}
	}
	return nil
}

// nameOf returns the text of a key.
func (s *source) nameOf(k ast.Node) string {
	if mk, ok := k.(*ast.MappingKeyNode); ok {
		k = mk.Value
	}
	if n := s.bare(k); n != nil {
		k = n
	}
	if str, ok := k.(*ast.StringNode); ok {
		return str.Value
	}
	if k == nil || k.GetToken() == nil {
		return ""
	}
	return k.GetToken().Value
}

// position is [start] for nodes that may be missing.
func position(n ast.Node) token.Position {
	if n == nil {
		return token.Position{}
	}
	return start(n)
}

// find returns the key of a struct with that name.
func find(t reflect.Type, name string) (field, bool) {
	if shapeOf(t) == section {
		for _, f := range fieldsOf(t) {
			if f.name == name {
				return f, true
			}
		}
	}
	return field{}, false
}

func names(t reflect.Type) []string {
	var all []string
	for _, f := range fieldsOf(t) {
		all = append(all, f.name)
	}
	return all
}
