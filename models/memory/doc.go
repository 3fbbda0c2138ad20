// Package memory measures what an idle connection costs a server in memory: how
// many bytes more there are for each connection more.
//
// # How it is measured
//
// A server is started in a process of its own. Connections are made to it, some
// thousands more at each step, and on each of them messages are exchanged, so
// that it has what a connection that was in use keeps. Then it is left alone until
// it is blocked, collects its garbage twice, because pools give up their content
// in the second collection, returns free memory to the system, and is measured.
// The slope of the line through the points by least squares is what a connection
// costs; whatever a server costs without connections, and whatever its heap
// wastes once, is in the line's height and not in its slope. All is repeated
// with fresh processes, and the repetitions give the error: mean and 95 %
// interval by Student's t. At the end each connection has to answer once more, so
// one that was lost cannot make a server look thrifty.
//
// # User memory
//
// [Result.User] is the slope of the anonymous memory of the server's whole
// process tree, resident or swapped out, by /proc/PID/smaps_rollup: heap, stacks,
// and what the allocator and the runtime need around them, in pages that were
// written to. The kernel counts it, so it is the same measure for Go and for C.
// Where the server has a Go runtime, that runtime's own account, of all its processes,
// stands beside it: bytes of spans in use on the heap, of goroutine stacks, and of
// the rest that the runtime has mapped and not returned. These are reserved in
// whole spans whether or not each page was touched, so their sum may exceed the
// resident bytes.
//
// Memory is in pages of 4 KiB, spans of 8 KiB and more, and arenas of 64 MiB. A
// step of thousands of connections makes the first two small against what is
// measured. Huge pages of 2 MiB are not: where the kernel hands them out unasked,
// the result says so.
//
// # Kernel memory
//
// The kernel keeps account of its memory for the host as a whole, and over
// loopback both ends of a connection are on it: [Result.KernelBothEnds] is the
// slope of the slab (sockets, inodes, files) and of TCP's buffers, and holds the
// generator's end, which is the same for every model.
// [Result.KernelPerEnd] is half of it: an estimate, which takes both ends for
// equal. What else changes on the host meanwhile is in there too; the interval
// shows it.
package memory
