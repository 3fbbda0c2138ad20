// Package load generates load on a network server and measures the answer.
//
// A run is described by a [Plan]: a target, a mode, a number of connections, a
// duration. [Run] carries it out and returns a [Result], whose every metric says
// whether it may be believed.
//
// # Closed and open loop
//
// In a closed loop each connection sends its next request when the reply to the
// last one came. The server sets the pace: a server that stalls is sent nothing
// meanwhile, so the stall is seen by as many requests as there are connections,
// however long it lasts. A closed loop measures capacity.
//
// In an open loop requests are due at times fixed beforehand by [Arrivals], as
// those of independent users are. Latency counts from the time a request was
// due, not from the time it could be sent, so a stalled server cannot hide
// behind a generator that politely waits (coordinated omission). Service time,
// which counts from the send, is reported beside it. An open loop measures what
// users feel.
//
// # Validity
//
// A generator that is itself the bottleneck measures itself. So every result
// carries, metric by metric, whether the generator can prove that it was not the
// limit ([Valid]), what the limit was ([Limit]), and why. See [Thresholds].
//
// # How it is driven
//
// On Linux one epoll loop runs on each CPU of the generator's set, on a locked
// thread, with raw system calls, without allocating and without a collection
// while it measures; content is checked against a shared read-only pattern, so
// that a connection costs a few dozen bytes here. Elsewhere, or on request, a
// portable engine built on package net does the same with a goroutine per
// connection; it costs more, and the result names it. Where one process may not
// hold all connections, several do, and their histograms are merged. A share of
// the connections may be held without traffic, and is proven alive
// ([Plan.Silent]).
//
// [Interleave] compares several servers by driving them in turn, in short slices
// and balanced order, and is what races and gates are built on.
package load
