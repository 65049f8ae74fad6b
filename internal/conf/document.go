package conf

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a document. Time and stack of the YAML parser grow faster than its
// input, so they are checked before it runs.
const (
	MaxBytes  = 1 << 20 // of a file
	MaxTokens = 20_000  // words and signs of a document, without comments
	MaxDepth  = 64      // of nesting
)

// document is a parsed YAML document whose aliases are resolved.
type document struct {
	root    ast.Node // nil when the document is empty
	aliases map[*ast.AliasNode]ast.Node
}

// parseError is what is wrong with a document as a whole.
type parseError struct {
	line, col int
	text      string
}

func (e *parseError) Error() string { return e.text }

// parse reads the one document of src.
func parse(src []byte) (doc document, err error) {
	if len(src) > MaxBytes {
		return document{}, &parseError{0, 0, fmt.Sprintf("larger than %s", Size(MaxBytes))}
	}
	// The parser counts lines wrong behind a comment that ends with CR LF.
	text := strings.ReplaceAll(strings.TrimPrefix(string(src), "\ufeff"), "\r\n", "\n")
	if err := checkText(text); err != nil {
		return document{}, err
	}
	defer func() {
		if v := recover(); v != nil { // the parser is not ours, and the file may be anything
			doc, err = document{}, &parseError{0, 0, fmt.Sprintf("the YAML parser gives up: %v", v)}
		}
	}()

	tokens := lexer.Tokenize(text)
	if err := checkTokens(tokens); err != nil {
		return document{}, err
	}
	// Keys that stand twice are reported by the decoder, with all else that is wrong.
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return document{}, syntaxError(err)
	}
	for _, d := range f.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if doc.root != nil {
			p := start(d.Body)
			return document{}, &parseError{p.Line, p.Column, "a second document begins here; a configuration is one"}
		}
		doc.root = d.Body
	}
	doc.aliases = map[*ast.AliasNode]ast.Node{}
	resolve(doc.root, map[string]ast.Node{}, doc.aliases)
	return doc, nil
}

func checkText(text string) error {
	line, col := 1, 1
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			return &parseError{line, col, "not UTF-8 text"}
		case r == 0:
			return &parseError{line, col, "a NUL byte; is the file text?"}
		case r == '\n':
			line, col = line+1, 1
		default:
			col++
		}
	}
	return nil
}

// checkTokens bounds what the parser has to do.
func checkTokens(tokens token.Tokens) error {
	var (
		flow   int   // open brackets
		blocks []int // columns at which the open blocks begin
		prev   *token.Token
		count  int
	)
	for _, tk := range tokens {
		if tk.Type == token.CommentType {
			continue
		}
		count++
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		default:
		}
		if flow == 0 && (prev == nil || prev.Position.Line != tk.Position.Line ||
			prev.Type == token.SequenceEntryType || prev.Type == token.MappingKeyType) {
			for len(blocks) > 0 && blocks[len(blocks)-1] >= tk.Position.Column {
				blocks = blocks[:len(blocks)-1]
			}
			blocks = append(blocks, tk.Position.Column)
		}
		prev = tk
		at := tk.Position
		if flow+len(blocks) > MaxDepth {
			return &parseError{at.Line, at.Column, fmt.Sprintf("nested more than %d levels deep", MaxDepth)}
		}
		if count > MaxTokens {
			return &parseError{at.Line, at.Column, fmt.Sprintf("more than %d words and signs", MaxTokens)}
		}
	}
	return nil
}

// syntaxError turns an error of the parser into one without the lines around
// it: they may hold secrets.
func syntaxError(err error) error {
	e, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return &parseError{0, 0, err.Error()}
	}
	p := &parseError{text: e.GetMessage()}
	if tk := e.GetToken(); tk != nil && tk.Position != nil {
		p.line, p.col = tk.Position.Line, tk.Position.Column
	}
	return p
}

// resolve finds the node that each alias stands for: the newest one before it
// with that anchor. A node is not known inside itself, so that there are no
// circles.
func resolve(n ast.Node, anchors map[string]ast.Node, aliases map[*ast.AliasNode]ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			resolve(v, anchors, aliases)
		}
	case *ast.MappingValueNode:
		resolve(n.Key, anchors, aliases)
		resolve(n.Value, anchors, aliases)
	case *ast.MappingKeyNode:
		resolve(n.Value, anchors, aliases)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			resolve(v, anchors, aliases)
		}
	case *ast.TagNode:
		resolve(n.Value, anchors, aliases)
	case *ast.AnchorNode:
		resolve(n.Value, anchors, aliases)
		anchors[n.Name.GetToken().Value] = n.Value
	case *ast.AliasNode:
		if to, ok := anchors[n.Value.GetToken().Value]; ok {
			aliases[n] = to
		}
	}
}

// start returns where a node begins.
func start(n ast.Node) token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
	case *ast.MappingValueNode:
		return start(n.Key)
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return *tk.Position
	}
	return token.Position{}
}
