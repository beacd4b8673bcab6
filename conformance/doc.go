// Package conformance is the behaviour of a lashstore as a test suite. Whatever
// implements the contract passes it: an implementation's test file is a [Harness]
// and one call of [Run].
//
// Scenarios named S01 to S110 are those of section 5 of part 01 of the
// specification, by number. Where the contract differs on purpose, the scenario
// cites the line of section 13 of the design that it follows and asserts what the
// contract says. Scenarios named X_ check guarantees that the contract adds. Each
// begins with what would break.
//
// A scenario gets a tenant of its own and the only clock, so scenarios run in
// parallel and none waits. What an implementation cannot offer, such as files to
// damage, is left nil in the harness; the scenarios that need it are skipped, and
// the suite says how many.
package conformance
