// Package serve answers over HTTP: decisions, streams of them, profiles, items
// and what is said of them all in openapi.json.
//
// It guarantees that a decision always answers within its deadline, whatever
// the engine, the store or the pipeline do, with "fallback" and "stale" saying
// what is missing; and that nobody reads a person's state without proof (Need,
// Routes). It does not fold events, keep state or choose backends: what it
// needs are the small interfaces of Options.
package serve
