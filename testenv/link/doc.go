// Package link joins two hosts by a link with the delay, the rate, the queue and
// the losses that are asked for, all within this process' machine.
//
// Loopback has no distance: a time-out, a pool that is too small or a
// retransmission costs there what it costs nowhere else. A [Link] has two ends, A
// and B. Each is a host of its own as far as the kernel is concerned: a network
// namespace with an address, in which sockets are opened and programs started.
// All that leads from one to the other is a forwarder here, which takes the IP
// packets that the kernel sends and hands each over at the time at which it would
// have come out of such a wire:
//
//	c := link.Both(link.Shape{Delay: 20 * time.Millisecond, Rate: 10e6})
//	l, err := link.New(ctx, c)
//	defer l.Close()
//	listener, err := l.B().Listen("tcp", ":0")
//	conn, err := l.A().Dial(ctx, "tcp", listener.Addr().String())
//	err = l.A().Start(exec.Command("ping", l.B().Addr().String()))
//	err = l.Change(link.Shape{Stalled: true}, link.Shape{Stalled: true})
//
// TCP and UDP are the kernel's own, with its retransmissions, windows and
// congestion control. [Supported] tells whether a host can have links: Linux, with
// the right to make network namespaces (root), and /dev/net/tun.
//
// # The clock
//
// Each direction is a queue, a transmitter and a wire. A packet enters when the
// forwarder reads it. It waits in the queue until those before it are
// transmitted, is transmitted for as long as its bits take at the rate, and
// arrives one delay after its last bit. These times are calculated, not slept:
// the next packet's transmission begins when the one before ended by the link's
// own clock, however late the forwarder woke, so lateness does not add up and
// the rate holds over any length of time. Rates count IP packets whole, headers
// included; of a TCP stream with time stamps and an MTU of 1500, 1448/1500 of the
// rate is what it carries.
//
// A packet that finds the queue full is dropped. One that is lost is lost on the
// wire: it takes its turn and its transmission time first. Whether the n-th packet
// of a direction is lost depends on the seed, on n and on the loss set when it
// entered, and on nothing else. Packets are never reordered: after the delay was
// lowered, a later packet waits for those before it.
//
// # Accuracy
//
// A packet is never early, and late by what the forwarder takes to run: it waits
// for a high-resolution timer of the kernel in a thread, and is later where no CPU
// is free, or where this process has no idle GOMAXPROCS slot. On a virtual machine
// of two CPUs that had other work too, the round trip over a link without delay
// took 29 µs (median), over one of 20 ms each way 40.7 ms, and over one of 5 ms
// each way 10.3 ms; there a TCP stream over a link of unlimited rate had 1.7 Gbit/s,
// 150,000 packets per second. That is what an unlimited rate comes to: every packet
// costs two system calls and two passages through the kernel's network stack.
//
// What TCP makes of a rate is TCP's: slow start takes its time, and BBR leaves the
// link idle for 200 ms every ten seconds.
//
// # Limits
//
// IPv4 only: other packets are neither carried nor counted. No duplication,
// corruption or reordering. Losses are independent of each other. Names are not
// resolved, there is no way from a namespace to any other network, and the ends
// share the machine's CPUs, files and processes. A packet of which the kernel
// disposed before the forwarder saw it is counted as [Counts.Missed].
//
// # What is left behind
//
// Nothing. A namespace has no name: it exists while a thread of this process is in
// it, or a socket or a process that was opened there exists. [Link.Close] ends the
// threads, the devices and all processes in the namespaces; the death of this
// process, SIGKILL included, ends the threads, the devices and the programs that
// were started there.
package link
