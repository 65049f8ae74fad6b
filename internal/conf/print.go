package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML prints everything in force as a document that decodes to the same
// values, but for secrets: their lines are comments.
func (v *Values) YAML() []byte { return printSections(v.sections, v.values) }

func printSections(sections []Section, values map[string]reflect.Value) []byte {
	p := newPrinter()
	for i, s := range sections {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.value("", s.Name+":", values[s.Name])
	}
	return []byte(p.b.String())
}

// printer writes YAML in block style.
type printer struct {
	b     strings.Builder
	plain *regexp.Regexp // texts that need no quotes
}

func newPrinter() *printer {
	return &printer{plain: regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9_./%+-]*$`)}
}

// value writes one value behind its key or dash.
func (p *printer) value(indent, lead string, v reflect.Value) {
	t := v.Type()
	if s, ok := reflect.TypeAssert[Secret](v); ok && s != "" {
		fmt.Fprintf(&p.b, "%s# %s %q\n", indent, lead, hidden)
		return
	}
	switch shape := shapeOf(t); {
	case shape == section && len(fieldsOf(t)) > 0:
		fmt.Fprintf(&p.b, "%s%s\n", indent, lead)
		for _, f := range fieldsOf(t) {
			p.value(indent+"  ", f.name+":", v.Field(f.at))
		}
	case shape == mapping && v.Len() > 0:
		fmt.Fprintf(&p.b, "%s%s\n", indent, lead)
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			p.value(indent+"  ", strconv.Quote(k.String())+":", v.MapIndex(k))
		}
	case shape == list && v.Len() > 0:
		fmt.Fprintf(&p.b, "%s%s\n", indent, lead)
		for i := range v.Len() {
			p.value(indent+"  ", "-", v.Index(i))
		}
	case shape == list:
		fmt.Fprintf(&p.b, "%s%s []\n", indent, lead)
	case shape == mapping || shape == section:
		fmt.Fprintf(&p.b, "%s%s {}\n", indent, lead)
	default:
		fmt.Fprintf(&p.b, "%s%s %s\n", indent, lead, p.scalar(v))
	}
}

// scalar returns a scalar as it stands in YAML.
func (p *printer) scalar(v reflect.Value) string {
	m, ok := reflect.TypeAssert[encoding.TextMarshaler](v)
	switch {
	case ok:
	case v.Kind() == reflect.String:
		return p.quote(v.String())
	default:
		return fmt.Sprint(v.Interface())
	}
	text, err := m.MarshalText()
	if err != nil {
		return "# " + strconv.Quote(err.Error())
	}
	return p.quote(string(text))
}

// quote puts quotes around a text that would be something else without them.
func (p *printer) quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", ".", "..", "...", ".inf", ".nan":
		return strconv.Quote(s)
	}
	if p.plain.MatchString(s) && (!isNumber(s) || s == "0") {
		return s
	}
	return strconv.Quote(s)
}
