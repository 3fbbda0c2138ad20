// Package zerocopy sends a file over a TCP connection in every way that a Go
// program on Linux has, so that they can be compared.
//
// The plain way copies each byte twice: read(2) copies it from the page cache to a
// buffer of the program, write(2) from there to the socket. Each of the other ways
// saves one of the copies, or both, and pays for it in another coin:
//
//	buffer-N       pread and write with a buffer of N bytes: two copies
//	copy           io.Copy, in which package net uses sendfile(2): none
//	copy-hidden    io.Copy that cannot see what it copies between, hence does not
//	sendfile       sendfile(2) by this package: none, the socket's queue refers to
//	               the page cache
//	mmap           write(2) from a mapping of the file: one copy, but page tables
//	zerocopy-N     pread to a buffer of N bytes, send(2) with MSG_ZEROCOPY: one copy,
//	               but pages are pinned and every send is acknowledged by a notice
//
// [NewSender] makes a [Sender] of a way for a connection. What was asked for is what
// happens, or an error: no way falls back to another. The one exception is io.Copy,
// which falls back without a word; its Sender sees that it did, and says so in its
// [Report].
//
// # MSG_ZEROCOPY
//
// A send with this flag returns while the kernel still reads the buffer. The kernel
// numbers the sends of a socket and tells in the socket's error queue which are
// complete, as ranges of numbers, which it merges, and which may come in any order.
// [ZeroCopyConn] reads them and does not hand out a buffer before the last send from
// it is complete. If it cannot wait for that, because the connection failed, it gives
// up the memory instead of using it again: its buffers are mapped outside of Go's
// heap, and pages that the kernel has pinned outlive their mapping.
//
// With each range the kernel tells whether it copied the data after all, as it does
// for every peer that is on the same machine; the [Report] counts that. Where it
// copies, MSG_ZEROCOPY costs more than a plain send.
//
// The error queue has a catch in Go. The runtime takes an event that has nothing but
// EPOLLERR for the end of the descriptor, and every Read fails with "not pollable"
// until the next event, although nothing is wrong but that notices arrived while the
// send queue was full. Therefore nobody may read from a connection while sends are
// under way, and before the next read [Sender.Settle] waits for the last notice, and
// until the runtime lets the connection be read.
//
// # The file server
//
// [FileServer] sends a file in the way that the client asks for, so that sender and
// receiver are separate processes when they are measured; [FileClient] is its client
// and [StartFileServer] starts it in a process of its own.
//
// # Congestion control
//
// Over loopback, where copying is all that there is to save, the congestion control can
// weigh more than the way. bbr paces: the kernel arms a timer for almost every packet, and
// that cost more on one host than the copies that sendfile saves. A control that does not
// pace costs as much as soon as it is made to, see [ServerConfig]. Pacing holds back the
// rate, too, while the server has time to spare: so a way that costs less need not be the
// one that moves more. Comparisons are made under the host's own control and under one
// that does not pace: docs/zerocopy.md.
//
// # A file that changes
//
// All ways but those with a buffer send what is in the file when the bytes leave,
// not when Send was called. A file that shrinks meanwhile is [ErrShrank]; what was
// sent until then has the length of the return value, and the rest will not come, so
// that the connection has to be closed.
package zerocopy
