//go:build !race

package model

const invoicesLimit = 1 << 30
