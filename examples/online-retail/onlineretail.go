// Package onlineretail is the worked example of attune import: how the Online
// Retail data set becomes events. It holds the mapping and does nothing.
package onlineretail

import _ "embed" // for the directive below

//go:embed mapping.yaml
var mapping string

// Mapping returns the mapping file. The caller owns what it gets.
func Mapping() []byte { return []byte(mapping) }
