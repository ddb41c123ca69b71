package config

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
)

// schemaText is the JSON Schema of the file.
//
//go:embed schema.json
var schemaText []byte

//go:embed starter.yaml
var starterText string

// Schema returns the JSON Schema of the file, for editors. The caller owns it.
func Schema() []byte { return append([]byte(nil), schemaText...) }

// NewKey returns prefix and 192 bits of random, as base64url.
func NewKey(random io.Reader, prefix string) (string, error) {
	var b [24]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
}
