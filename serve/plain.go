package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/attune-io/attune"
)

// notJSON says in plain words what err, of encoding/json, found in body.
func notJSON(body []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		return invalid(fieldPath(wrong.Field), "want "+jsonName(wrong.Type.Kind().String())+", got "+jsonName(wrong.Value))
	case errors.Is(err, attune.ErrInvalid):
		return invalid("", attune.Message(err)) // of a type that reads itself
	case len(bytes.TrimSpace(body)) == 0:
		return invalid("", "invalid json: the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("", "invalid json: it ends too early")
	case errors.As(err, &broken):
		line, column := placeOf(body, int(broken.Offset)-1)
		if strings.HasPrefix(broken.Error(), "unexpected end") {
			return invalid("", "invalid json: it ends too early")
		}
		return invalid("", fmt.Sprintf("invalid json: unexpected %q at line %d, column %d", runeAt(body, int(broken.Offset)-1), line, column))
	default:
		return invalid("", "invalid json")
	}
}

// placeOf returns the line and the column, in bytes, of body[at], from 1.
func placeOf(body []byte, at int) (line, column int) {
	before := body[:max(min(at, len(body)), 0)]
	return bytes.Count(before, []byte{'\n'}) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// runeAt returns the character of body at a place, "" behind its end.
func runeAt(body []byte, at int) string {
	for _, r := range string(body[max(min(at, len(body)), 0):min(max(at, 0)+4, len(body))]) {
		return string(r)
	}
	return ""
}

// jsonName names a kind, of Go or of JSON, as a caller calls it.
func jsonName(kind string) string {
	kind, _, _ = strings.Cut(kind, " ") // "number 1.5"
	switch kind {
	case "struct", "map", "object":
		return "an object"
	case "slice", "array":
		return "an array"
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "null":
		return "null"
	default:
		return "a number"
	}
}

// unknownField returns the field that encoding/json refused for its name. The
// library has no type for that error.
func unknownField(err error) (string, bool) {
	name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`)
	return strings.TrimSuffix(name, `"`), ok
}
