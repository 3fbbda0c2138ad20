// Package faults breaks connections on purpose: it stands between a client and a
// server, passes streams of bytes, and on request resets them, stalls them, delays
// their ends or cuts them short. What a pool does with a connection that broke
// shows here, where a link of package testenv/link shows what it does with a
// network that is slow or loses packets.
//
//	s, err := faults.New(ctx, redis.Options().Addr)
//	defer s.Close()
//	pool := open(s.Addr())
//	s.Stall() // nothing passes, nothing is lost
//	s.Heal()
//
// Faults are of connections, not of packets: each side has a TCP connection to the
// proxy, which acknowledges at once. So the time-outs of an application can be
// tested by it, those of TCP not.
//
// The chains through which bytes pass are those of toxiproxy, in this process and
// without its HTTP interface or log, with one link of our own in each. Accepting,
// resetting and ending connections is done here, too: that library closes both
// directions when one ends, resets only connections that were opened after the
// fault and when data comes, drops what comes in a stall, leaves goroutines behind
// when data meets a stream that was cut, and may lose bytes of a slow reader when a
// fault is taken away.
package faults
