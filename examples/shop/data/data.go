// Package data carries the slice of Online Retail that the demonstration shop
// starts with, so that a binary can bring it. README.md has its licence and
// credit.
package data

import _ "embed" // for the directive below

// Name is the file's name, which messageIds of an import are made from.
const Name = "online-retail-slice.csv.gz"

//go:embed online-retail-slice.csv.gz
var slice string

// Slice returns the gzipped file. The caller owns what it gets.
func Slice() []byte { return []byte(slice) }
