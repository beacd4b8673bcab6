// Package testenv is what tests share: a clock that only moves when told, a source
// of randomness that repeats, and a table of processes that do not exist.
package testenv
