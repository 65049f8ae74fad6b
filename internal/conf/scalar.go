package conf

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// textOf returns the text of a scalar, if a value of type t may be written as
// such a scalar.
func textOf(n ast.Node, t reflect.Type) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, isText(t) || t.Kind() == reflect.String
	case *ast.LiteralNode:
		return n.Value.Value, isText(t) || t.Kind() == reflect.String
	case *ast.BoolNode:
		return n.GetToken().Value, isText(t) || t.Kind() == reflect.Bool
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, t.Kind() != reflect.Bool
	}
	return "", false
}

// got says what stands where a value of type t is wanted. Only in the place of
// a switch or a number it is shown: elsewhere it may be a secret.
func got(n ast.Node, t reflect.Type) string {
	if str, ok := n.(*ast.StringNode); ok && shapeOf(t) == scalar && !isText(t) && len(str.Value) < 80 {
		return fmt.Sprintf("the text %q", str.Value)
	}
	return kindOf(n)
}

// kindOf names what a node is.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.BoolNode:
		return "true or false; in quotes it is text"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.InfinityNode, *ast.NanNode:
		return "not a finite number"
	}
	return "something else"
}

// setText reads the text of a scalar into v, which stays as it is on a mistake.
func setText(v reflect.Value, text string) error {
	if isText(v.Type()) {
		p := reflect.New(v.Type())
		u, _ := reflect.TypeAssert[encoding.TextUnmarshaler](p)
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		v.Set(p.Elem())
		return nil
	}
	wrong := fmt.Errorf("wants %s, this is %q", wants(v.Type()), text)
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		if lower := strings.ToLower(text); lower != "true" && lower != "false" {
			return wrong
		}
		v.SetBool(strings.EqualFold(text, "true"))
		return nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return wrong
		}
		v.SetFloat(f)
		return nil
	default: // the integers
	}
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "+"), "-")
	if len(digits) > 1 && digits[0] == '0' {
		return wrong // octal to some, decimal to others
	}
	return setInt(v, text, wrong)
}

func setInt(v reflect.Value, text string, wrong error) error {
	text = strings.TrimPrefix(text, "+")
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return wrong
	case v.CanInt() && (err != nil || v.OverflowInt(n)):
		return fmt.Errorf("%s does not fit: it takes %d bits", text, v.Type().Bits())
	case v.CanInt():
		v.SetInt(n)
		return nil
	}
	u, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v.OverflowUint(u) {
		return fmt.Errorf("%s does not fit: it takes %d bits and no sign", text, v.Type().Bits())
	}
	v.SetUint(u)
	return nil
}
