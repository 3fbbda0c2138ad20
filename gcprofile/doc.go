// Package gcprofile measures what Go's garbage collector costs a network server, and
// which settings of it suit one.
//
// What a collection costs is the time to trace what is live, so a benchmark with an
// empty heap shows a collector that costs nothing. Here a server has a live set of a
// chosen size, of small objects or of large ones, all full of pointers, which stays
// reachable for the life of its process; and each request allocates in a chosen habit,
// from nothing to 64 KiB. [Heap] is that server: a [models.Service] that every model
// runs, HTTP/1.1 with JSON at /json.
//
// How often collections come is what GOGC and GOMEMLIMIT decide. With a live set L,
// GOGC=g starts them so that the heap ends at about L·(1+g/100); a limit makes them
// come more often as memory in use nears it. Room for garbage is memory, a lack of it
// is CPU time, so a setting is a price. [Sweep] measures that price: one fresh process
// for each block, settings given by environment, one contender alive at a time, blocks
// in an order that is shuffled in each round, each long enough for ten collections,
// driven in an open loop at one rate that is a share of what the server can do. From
// the blocks [Report.Recommend] chooses a setting for a memory budget or for a p99, by
// prediction intervals, so that the goal holds in the blocks to come and not only in
// those that were seen.
//
// A limit too near the live set is a death spiral: collections follow each other
// without pause. The runtime stops at half of the CPU time and lets memory grow
// instead. A plan warns of it beforehand, a report when it was seen.
package gcprofile
