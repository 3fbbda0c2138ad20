// Package buffers measures what the sizes and the owners of buffers are worth: in
// the program, between the program and the kernel, and in the kernel.
//
// Advice on buffers is old, and most of it was measured on other machines. Each
// piece of it is a question here, with a real server in a process of its own that
// answers it:
//
//   - Who owns the memory of a read (B1)? Echo servers that differ in that alone:
//     [ReadEach] allocates it for each read, [ReadConn] keeps it for the
//     connection, [ReadSync], [ReadValue] and [ReadBlocked] use a sync.Pool in the
//     right and in two wrong ways, [ReadClasses] borrows from a [Pool] of size
//     classes. A buffer that belongs to the loop needs a loop: that is
//     models/reactor, beside itself with a buffer for each connection.
//   - How large should a bufio.Writer be (B2, B4)? A [Stream] writes records
//     through one, over loopback or over a link with a distance (testenv/link).
//   - When should it be flushed (B3)? [FlushEach] and [FlushIdle] are line servers.
//   - How large should the kernel's buffers be (B5)? A Stream again, with what the
//     kernel gave in place of what it was asked for.
//   - What do small writes cost (B6)? [SmallSplit] and its likes answer in two
//     pieces, and [Calls] asks in two.
//
// [Models] has the servers, [Scenarios] what load (package load) drives, [Role] is
// what a Stream's process is started by.
//
// # Two kinds of buffers, two kinds of reasons
//
// A buffer in the program saves system calls: its worth is the number of writes
// that it joins, so it has none where each write is larger than the buffer, and a
// longer way does not change it. A buffer in the kernel holds what is on its way:
// bytes that were sent and not acknowledged cannot be forgotten. A connection so
// moves at most one such buffer in each round trip ([Product]), whatever the
// program does. Confusing the two is where most of the advice comes from.
package buffers
