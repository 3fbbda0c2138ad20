// Package gate answers one question: did this change make the server slower? It
// compares two versions, base and head, and gives a verdict that holds on a noisy
// machine, with error rates that are themselves measured (see docs/gate.md).
//
// Both versions are alive at once and are driven in turn, in short slices, by the
// same generator ([netbench/load.Interleave]). A round gives one number for each
// metric and version, and what is judged are the logarithmic differences of pairs,
// d = ln(head/base), turned so that positive is worse. Drift of the machine meets
// both versions alike and cancels.
//
// A row of a gate is one metric of one load. It fails if two things are so: the
// exact signed rank test says that head is worse, at a level that allows for the
// number of rows (Holm), and the estimated effect is at least a margin that
// somebody would care about. It passes if its effect is shown to be below a
// tolerance. What is neither is inconclusive, which is said and not rounded to one
// of the two. One row, the canary, cannot be touched by any change; if it moves,
// the run is unfit.
package gate
