package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/attune-io/attune/rule"
)

// schema is the part of JSON Schema that config/schema.json uses.
type schema struct {
	Type       types              `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional extra              `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	Enum       []string           `json:"enum"`
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MinLength  int                `json:"minLength"`
	Pattern    string             `json:"pattern"`
}

// types is one type or several.
type types []string

// UnmarshalJSON reads "string" or ["integer", "string"].
func (t *types) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// extra is additionalProperties: false, or what every other property is.
type extra struct{ schema *schema }

// UnmarshalJSON reads false or a schema.
func (e *extra) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		return nil
	}
	e.schema = &schema{}
	return json.Unmarshal(b, e.schema)
}

// place is where in the file a path is.
type place struct {
	line, column int // of the value; of the key where that is on another line
	// Where the first character of a text stands, when its lines are those of
	// the file; column is 0 for a block, whose indentation is not known.
	textLine, textColumn int
}

// shape walks a file beside its schema. What does not fit becomes a fault and
// is cut out of the tree, so that the rest can be read.
type shape struct {
	root   *schema
	at     map[string]place
	faults Faults
	nodes  int
}

// maxNodes bounds the size of a file's tree.
const maxNodes = 100_000

func (s *shape) fault(at place, path, suggestion, format string, args ...any) {
	s.faults = append(s.faults, Fault{
		Line: at.line, Column: at.column, Path: path, Suggestion: suggestion, What: fmt.Sprintf(format, args...),
	})
}

// node checks n, which is at path, and reports whether it may stay.
func (s *shape) node(n ast.Node, path string, want *schema) bool {
	if want.Ref != "" {
		want = s.root.Defs[strings.TrimPrefix(want.Ref, "#/$defs/")]
	}
	at := placeOf(n)
	s.at[path] = at
	if s.nodes++; s.nodes > maxNodes {
		if s.nodes == maxNodes+1 {
			s.fault(at, path, "", "the file is too large: more than %d values", maxNodes)
		}
		return false
	}
	if want.free() {
		return s.anything(n, path, want)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return s.expect(at, path, want, "object", "a mapping") && s.mapping(n, path, want)
	case *ast.SequenceNode:
		return s.expect(at, path, want, "array", "a list") && s.sequence(n, path, want)
	case *ast.NullNode:
		return false // a key without a value is as if it were not there
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode, *ast.MergeKeyNode, *ast.MappingValueNode:
		s.fault(at, path, "", "anchors, aliases and tags are not supported; write the value out")
		return false
	default:
		return s.scalar(n, at, path, want)
	}
}

// free reports whether a value may be anything: a schema without a word on it.
func (s *schema) free() bool { return len(s.Type) == 0 && s.Ref == "" }

// anything checks n where any value is right, so that the places inside of it
// are known.
func (s *shape) anything(n ast.Node, path string, want *schema) bool {
	switch n := n.(type) {
	case *ast.MappingNode:
		return s.mapping(n, path, &schema{Additional: extra{want}})
	case *ast.SequenceNode:
		ok := true
		for i, v := range n.Values {
			ok = s.node(v, path+"["+strconv.Itoa(i)+"]", want) && ok
		}
		return ok
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode, *ast.MergeKeyNode, *ast.MappingValueNode:
		s.fault(placeOf(n), path, "", "anchors, aliases and tags are not supported; write the value out")
		return false
	default:
		return true
	}
}

// expect checks that want allows kind; got names what stands there.
func (s *shape) expect(at place, path string, want *schema, kind, got string) bool {
	if slices.Contains(want.Type, kind) {
		return true
	}
	s.fault(at, path, "", "want %s, got %s", describe(want), got)
	return false
}

func (s *shape) mapping(n *ast.MappingNode, path string, want *schema) bool {
	kept := n.Values[:0]
	seen := make(map[string]bool, len(n.Values))
	for _, v := range n.Values {
		if s.entry(v, path, want, seen) {
			kept = append(kept, v)
		}
	}
	n.Values = kept
	for _, name := range want.Required {
		if !seen[name] {
			s.fault(s.at[path], join(path, name), "", "is missing")
		}
	}
	return true
}

func (s *shape) entry(v *ast.MappingValueNode, path string, want *schema, seen map[string]bool) bool {
	at := placeOf(v.Key)
	name, ok := keyName(v.Key)
	if !ok {
		s.fault(at, path, "", "a key has to be a plain text")
		return false
	}
	p := join(path, name)
	if seen[name] {
		s.fault(at, p, "", "is there twice")
		return false
	}
	seen[name] = true
	sub := want.Properties[name]
	if sub == nil {
		sub = want.Additional.schema
	}
	if sub == nil {
		known := slices.Sorted(maps.Keys(want.Properties))
		near := rule.Suggest(name, known)
		what := "unknown key"
		if near == "" {
			what += "; there are " + strings.Join(known, ", ")
		}
		s.fault(at, p, near, "%s", what)
		return false
	}
	keep := s.node(v.Value, p, sub)
	if value := s.at[p]; value.line != at.line {
		value.line, value.column = at.line, at.column
		s.at[p] = value
	}
	return keep
}

func (s *shape) sequence(n *ast.SequenceNode, path string, want *schema) bool {
	ok := true
	for i, v := range n.Values {
		p := path + "[" + strconv.Itoa(i) + "]"
		if _, null := v.(*ast.NullNode); null {
			s.fault(placeOf(v), p, "", "is empty")
			ok = false
		} else if !s.node(v, p, want.Items) {
			ok = false
		}
	}
	// A faulty element takes its list with it: without it the others would be
	// counted wrongly.
	return ok
}

func (s *shape) scalar(n ast.Node, at place, path string, want *schema) bool {
	text, kind := scalarText(n)
	if kind == "integer" && !slices.Contains(want.Type, kind) && slices.Contains(want.Type, "number") {
		kind = "number"
	}
	if kind == "integer" && !slices.Contains(want.Type, kind) && slices.Contains(want.Type, "string") && text == "0" && want.Pattern != "" {
		return true // the duration 0
	}
	shown := text
	if strings.HasPrefix(path, "keys.") {
		shown = "" // a secret written without quotes is one all the same
	}
	if !s.expect(at, path, want, kind, article(kind, shown)) {
		return false
	}
	if len(want.Enum) > 0 && !slices.Contains(want.Enum, text) {
		s.fault(at, path, rule.Suggest(text, want.Enum), "unknown value %q; want %s", text, choice(want.Enum))
		return false
	}
	if kind == "string" {
		return s.text(text, at, path, want)
	}
	number, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if kind == "boolean" || err != nil {
		return true // the decoder says what is wrong with it
	}
	if want.Minimum != nil && number < *want.Minimum {
		s.fault(at, path, "", "%s is too small; want at least %v", text, *want.Minimum)
		return false
	}
	if want.Maximum != nil && number > *want.Maximum {
		s.fault(at, path, "", "%s is too large; want at most %v", text, *want.Maximum)
		return false
	}
	return true
}

func (s *shape) text(text string, at place, path string, want *schema) bool {
	if len(text) < want.MinLength {
		s.fault(at, path, "", "is empty")
		return false
	}
	if want.Pattern == "" {
		return true
	}
	if ok, err := regexp.MatchString(want.Pattern, text); err == nil && !ok {
		like := "a number of bytes, or one with KB, MB or GB"
		if !slices.Contains(want.Type, "integer") {
			like = "a length of time, as 30d, 24h or 5m"
		}
		s.fault(at, path, "", "%q: want %s", text, like)
		return false
	}
	return true
}

func scalarText(n ast.Node) (text, kind string) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, "string"
	case *ast.LiteralNode:
		return n.Value.Value, "string"
	case *ast.IntegerNode:
		return n.GetToken().Value, "integer"
	case *ast.FloatNode:
		return n.GetToken().Value, "number"
	case *ast.BoolNode:
		return n.GetToken().Value, "boolean"
	default:
		return n.GetToken().Value, "odd"
	}
}

func placeOf(n ast.Node) place {
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return place{}
	}
	at := place{line: t.Position.Line, column: t.Position.Column}
	switch n := n.(type) {
	case *ast.LiteralNode:
		if strings.HasPrefix(n.Start.Value, "|") {
			at.textLine = at.line + 1
		}
	case *ast.StringNode:
		if !strings.Contains(strings.TrimSpace(t.Origin), "\n") {
			at.textLine, at.textColumn = at.line, at.column
			if t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType {
				at.textColumn++
			}
		}
	}
	return at
}

// keyName returns the text of a key.
func keyName(k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	default:
		return "", false
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(s *schema) string {
	var list []string
	for _, t := range s.Type {
		list = append(list, article(t, ""))
	}
	return strings.Join(list, " or ")
}

func article(kind, text string) string {
	name := map[string]string{
		"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number",
		"number": "a number", "boolean": "true or false", "odd": "something else",
	}[kind]
	if text == "" || kind == "odd" {
		return name
	}
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return name + " (" + text + ")"
}

func choice(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}
