// Package httppool is the connection pool that every Go program with an HTTP
// client has: the transport of net/http, with settings that are checked, with
// counts of what it does, and with a monitor.
//
// The transport keeps a connection for the next request after a reply was read
// to its end. How many it keeps for one host is MaxIdleConnsPerHost, and by
// default that is 2. A client that makes 100 requests at once to one host then
// has up to 100 connections in use, and whenever more than two of them rest at
// the same moment, the others are closed and have to be dialled anew, with a TLS
// handshake each. Nothing fails and nothing is logged: it only costs CPU time,
// round trips, and ports in TIME_WAIT. The other end of the scale is
// MaxConnsPerHost: requests beyond it wait for a connection, also without a word.
//
// [Recommended] has settings that suit many requests to few hosts; [New] makes a
// [Client] of settings, and [Around] one of any transport, so that the default
// one can be set beside it under the same counts. What the counts say within an
// interval is judged by [Limits], with cause and advice; [Client.Watch] does so
// again and again. [Kind] is for what works on pools of all kinds.
//
// # Counting
//
// All counts come from net/http/httptrace and from the dialler. For each request
// that is one small object, three readings of the clock and two short critical
// sections of a mutex; the transport itself takes two such locks on the way.
//
// A body that is closed before its end would take its connection along. The
// bodies of this package's replies therefore read on when they are closed, up to
// [DrainLimit] bytes and for [DrainTime].
package httppool
