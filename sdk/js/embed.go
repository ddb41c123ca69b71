// Package js carries the browser SDK, so that a binary can serve it. It holds
// the file as it is in this folder and does nothing to it.
package js

import _ "embed" // for the directive below

//go:embed attune.js
var source string

// Source returns attune.js, an ES module. The caller owns what it gets.
func Source() []byte { return []byte(source) }
