package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file.
const (
	// MaxBytes is the largest file that is read.
	MaxBytes = 256 << 10
	// maxNesting is how deep brackets, or the dashes of one line, may nest: the
	// YAML reader's time grows with the square of it.
	maxNesting = 32
	// maxDefinitions bounds features, segments and placements, each.
	maxDefinitions = 1000
)

// Parse reads a file over Default. The error is Faults: every unknown or
// repeated key, every value of the wrong type or out of its bounds, or the one
// thing that makes it no YAML. The Config then holds what could be read, so
// that Validate can go on to find what is wrong with that. An empty file is
// Default.
func Parse(b []byte) (Config, error) {
	c := Default()
	if len(b) > MaxBytes {
		return c, Faults{{What: fmt.Sprintf("the file has %d bytes; at most %d are read", len(b), MaxBytes)}}
	}
	tree, err := tokens(b)
	if err != nil {
		return c, err
	}
	body, err := document(tree)
	if body == nil || err != nil {
		return c, err
	}
	root := &schema{}
	if err := json.Unmarshal(schemaText, root); err != nil {
		return c, fmt.Errorf("config/schema.json: %w", err)
	}
	s := &shape{root: root, at: make(map[string]place)}
	if s.node(body, "", root) {
		if err := yaml.NodeToValue(body, &c); err != nil && !errors.Is(err, io.EOF) {
			s.faults = append(s.faults, syntax(err))
		}
	}
	c.file = &file{at: s.at, faulty: make(map[string]bool)}
	for _, f := range s.faults {
		c.file.faulty[f.Path] = true
	}
	return c, s.faults.err()
}

// tokens reads b as YAML, unless it nests too deeply. The error is Faults.
func tokens(b []byte) (tree *ast.File, err error) {
	// A file is somebody's input, and the reader of a format this rich is not
	// trusted never to panic on it.
	defer func() {
		if r := recover(); r != nil {
			err = Faults{{What: fmt.Sprintf("the file cannot be read as YAML: %v", r)}}
		}
	}()
	list := lexer.Tokenize(string(b))
	depth, dashes, line := 0, 0, 0
	for _, t := range list {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			dashes++
		}
		if depth > maxNesting || dashes > 100*maxNesting || dashes > maxNesting && depth == 0 {
			return nil, Faults{{Line: line, What: "nests too deeply"}}
		}
	}
	tree, err = parser.Parse(list, 0)
	if err != nil {
		return nil, Faults{syntax(err)}
	}
	return tree, nil
}

// file is what Validate has to know of the file a Config was read from.
type file struct {
	at     map[string]place
	faulty map[string]bool // paths whose value Parse refused, and left out
}

// place returns where path is in the file, or its nearest parent that is.
func (f *file) place(path string) (at place, exact bool) {
	if f == nil {
		return place{}, false
	}
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if at, ok := f.at[p]; ok {
			return at, p == path
		}
	}
	return place{}, false
}

// document returns the tree of the only document in tree; nil when it is empty.
func document(tree *ast.File) (ast.Node, error) {
	var body ast.Node
	for _, d := range tree.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			at := placeOf(d.Body)
			return nil, Faults{{Line: at.line, What: "a second document begins; a configuration is one"}}
		}
		body = d.Body
	}
	switch body.(type) {
	case nil, *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil //nolint:nilnil // an empty file has no tree and no fault
	default:
		return body, nil
	}
}

// syntax turns an error of the YAML reader into a fault.
func syntax(err error) Fault {
	var at yaml.Error
	if !errors.As(err, &at) {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return Fault{What: line}
	}
	f := Fault{What: at.GetMessage()}
	if t := at.GetToken(); t != nil && t.Position != nil {
		f.Line, f.Column = t.Position.Line, t.Position.Column
	}
	return f
}

// Load reads a file, lets adjust lay flags over it, fills in what it takes from
// the environment, and validates it. The error is Faults, every one there is.
// lookup is os.LookupEnv; nil leaves references as they are. adjust may be nil.
func Load(b []byte, lookup func(string) (string, bool), adjust func(*Config)) (Config, error) {
	c, parsed := Parse(b)
	if parsed != nil && c.file == nil {
		return c, parsed // nothing of it could be read
	}
	if adjust != nil {
		adjust(&c)
	}
	var resolved error
	if lookup != nil {
		resolved = c.Resolve(lookup)
	}
	return c, Join(parsed, resolved, c.Validate())
}

// Resolve replaces every ${NAME} in a key or secret by what lookup says of
// NAME. The error is Faults: every name that lookup does not know.
func (c *Config) Resolve(lookup func(string) (string, bool)) error {
	var faults Faults
	each := func(path string, s *string) {
		out, err := expand(*s, lookup)
		if err != nil {
			faults = append(faults, c.fault(path, "%s", message(err)))
			return
		}
		*s = out
	}
	for i := range c.Keys.Sources {
		each(fmt.Sprintf("keys.sources[%d].write_key", i), &c.Keys.Sources[i].WriteKey)
	}
	for i := range c.Keys.ServerSecrets {
		each(fmt.Sprintf("keys.server_secrets[%d]", i), &c.Keys.ServerSecrets[i])
	}
	for i := range c.Keys.UserTokenSecrets {
		each(fmt.Sprintf("keys.user_token_secrets[%d]", i), &c.Keys.UserTokenSecrets[i])
	}
	each("keys.visitor_secret", &c.Keys.VisitorSecret)
	each("search.elastic.password", &c.Search.Elastic.Password)
	each("search.elastic.api_key", &c.Search.Elastic.APIKey)
	c.resolveDestinations(each)
	return faults.err()
}

func expand(s string, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return "", errors.New("a reference to the environment is written ${NAME}")
		}
		v, ok := lookup(name)
		if !ok || v == "" {
			return "", fmt.Errorf("the environment has no %s; set it, or write the value here", name)
		}
		b.WriteString(v)
		rest = tail
	}
}

// reference reports whether s still takes something from the environment.
func reference(s string) bool { return strings.Contains(s, "${") }

// fault makes a fault of the value at path.
func (c *Config) fault(path, format string, args ...any) Fault {
	f := Fault{Path: path, What: fmt.Sprintf(format, args...)}
	at, _ := c.file.place(path)
	f.Line, f.Column = at.line, at.column
	return f
}

// fresh returns the faults of fs about values that Parse did not refuse: what
// it left out is not missing.
func (c *Config) fresh(fs Faults) Faults {
	if c.file == nil {
		return fs
	}
	return slices.DeleteFunc(fs, func(f Fault) bool { return c.file.faulty[f.Path] })
}
