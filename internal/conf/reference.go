package conf

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
)

//go:embed reference.md
var intro string

// Reference prints the reference of the configuration, a page in Markdown:
// all keys of all sections, with their defaults, variables and meaning.
func Reference(sections []Section) []byte {
	var b strings.Builder
	b.WriteString(intro)
	values := map[string]reflect.Value{}
	for _, s := range sections {
		values[s.Name] = reflect.ValueOf(s.Default)
		t := values[s.Name].Type()
		if len(fieldsOf(t)) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## `%s`\n\n", s.Name)
		if doc := docOf(t); doc != "" {
			b.WriteString(doc + "\n\n")
		}
		b.WriteString("| key | default | variable | meaning |\n|---|---|---|---|\n")
		rows(&b, s.Name, values[s.Name])
	}
	b.WriteString("\n## All defaults\n\n```yaml\n")
	b.Write(printSections(sections, values))
	b.WriteString("```\n")
	return []byte(b.String())
}

// rows writes a row for each key of a struct.
func rows(b *strings.Builder, path string, v reflect.Value) {
	p := newPrinter()
	for _, f := range fieldsOf(v.Type()) {
		at, val := path+"."+f.name, v.Field(f.at)
		if shapeOf(f.typ) == section {
			rows(b, at, val)
			continue
		}
		var def string
		switch shape := shapeOf(f.typ); {
		case shape == scalar:
			def = "`" + p.scalar(val) + "`"
		case val.Len() == 0:
			def = "none"
		default:
			def = "below"
		}
		fmt.Fprintf(b, "| `%s` | %s | `%s` | %s |\n", at, def, envName(at), cell(f.doc))
		if shapeOf(f.typ) == list && shapeOf(f.typ.Elem()) == section {
			for _, f := range fieldsOf(f.typ.Elem()) {
				fmt.Fprintf(b, "| `%s[].%s` | | | %s |\n", at, f.name, cell(f.doc))
			}
		}
	}
}

// cell returns a text as it stands in a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
