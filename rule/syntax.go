package rule

import (
	"fmt"
	"strings"
)

// syntaxError begins cel-go's messages about what is no expression at all.
const syntaxError = "Syntax error: "

// inWords puts a message of cel-go's parser, which names the tokens of its
// grammar, into words. Every other message is returned as it is.
func inWords(message string) string {
	if word, ok := strings.CutPrefix(message, "reserved identifier: "); ok {
		return fmt.Sprintf("%q is a reserved word", word)
	}
	text, ok := strings.CutPrefix(message, syntaxError)
	if !ok {
		return message
	}
	if rest, ok := strings.CutPrefix(text, "token recognition error at: "); ok {
		token := strings.TrimSuffix(strings.TrimPrefix(rest, "'"), "'")
		if strings.HasPrefix(token, "'") || strings.HasPrefix(token, `"`) {
			return "the text that begins here is not closed, or has an unknown escape"
		}
		return unexpected(token)
	}
	if missing, at, ok := strings.Cut(text, " at "); ok && strings.HasPrefix(missing, "missing ") {
		token := strings.Trim(strings.TrimPrefix(missing, "missing "), "'")
		if at == "'<EOF>'" {
			return fmt.Sprintf("the expression ends too early: %q is missing", token)
		}
		return fmt.Sprintf("%q is missing here", token)
	}
	found, expected, _ := strings.Cut(text, " expecting ")
	_, token, ok := strings.Cut(found, " input '")
	if !ok {
		return "the expression cannot be read from here on"
	}
	token = strings.TrimSuffix(token, "'")
	switch {
	case token != "<EOF>":
		return unexpected(token)
	case len(expected) == len("':'"):
		return fmt.Sprintf("the expression ends too early: %q is missing", strings.Trim(expected, "'"))
	default:
		return "the expression ends too early"
	}
}

func unexpected(token string) string { return fmt.Sprintf("unexpected %q", strings.TrimSpace(token)) }
