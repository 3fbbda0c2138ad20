// Package race puts servers on one start line: it drives them in turn, over
// rounds with fresh processes, and says which costs least for a request, by how
// much, and how sure that is.
//
// # Who runs
//
// An [Entrant] is a value: a name, what it can serve, and, if it is a program of
// its own, how to get that program. This package knows no model. All entrants are
// built and started once before the first round, get the same configuration, the
// same service and the same CPUs, and are driven by [load.Interleave]. What an
// entrant cannot be given is declared, and printed beside its result.
//
// # Two states
//
// A server that is idle between requests works otherwise than one that never is:
// it waits more often, and finds less when it wakes. So there are two states.
// [Saturated] is a closed loop: each connection sends when the reply came. The
// rates of two are compared over the rounds in which both kept their CPUs busy,
// and over no others, because otherwise something else set the rate. [Paced] is an
// open loop at one rate for all: 70 % of what the slowest contender reached in a
// short race before, or what the generator can pace, if that is less. There
// latencies are compared. Server CPU time for each request is compared in both.
//
// # What a round is worth
//
// Each round gives one number for each metric and contender. Ratios are geometric
// means over rounds, of values of the same round, with the 95 % confidence
// interval by Student's t of the logarithms. A contender that crashes or loses a
// connection makes its round worthless, by name; it is not counted as slow. With
// fewer than two rounds that count nothing is decided.
package race
