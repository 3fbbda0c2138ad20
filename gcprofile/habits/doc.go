// Package habits sets ways of doing the same work side by side that differ in what
// they leave to the collector.
//
// [Ways] turn strings into messages, as a server that answers does: with a buffer for
// each, by making strings, or with buffers from a pool. [Joiners] put parts together
// to one string. [Whole] and [Chunked] summarize records: all in memory at once, or
// chunk by chunk, by workers whose number really is bounded. Within each group all
// compute the same, which tests and a fuzz test prove: a comparison of programs that
// do different things says nothing.
//
// [Bytes] and [Buffers] are pools that avoid what sync.Pool makes easy to get wrong.
// It holds an interface, so a slice that is put by value is copied to the heap each
// time: what goes in is a pointer. It keeps whatever it is given for as long as it is
// used, so that one huge message makes the buffers huge for good: what has grown
// beyond a limit is dropped. It hands out what was put in as it was: buffers are
// emptied on the way out. And it cannot know who still holds what is put: only whoever
// got a buffer may put it, once, when nobody reads its bytes any more. The tests show
// each of these mistakes with what it costs.
package habits
