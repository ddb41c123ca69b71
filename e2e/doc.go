// Package e2e is the end-to-end tests: the real binary, the SDKs as their
// makers publish them, and a real browser. It holds no code but tests.
package e2e
