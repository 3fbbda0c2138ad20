package faults

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// serial numbers connections.
var serial atomic.Uint64

// pair is a client's connection and the one to the server for it.
type pair struct {
	client, server net.Conn
	of             *Stream

	mu   sync.Mutex
	left int  // directions that have not ended
	gone bool // both are closed
}

// reset closes both connections so that the peers get an RST. What is on its way
// is lost.
func (p *pair) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	p.gone = true
	reset(p.client)
	reset(p.server)
}

// shut closes both connections in order.
func (p *pair) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	p.gone = true
	p.client.Close()
	p.server.Close()
}

// over counts the end of one direction; after the second nothing is left to do.
func (p *pair) over() {
	p.mu.Lock()
	p.left--
	last := p.left == 0
	p.mu.Unlock()
	if last {
		p.shut()
		p.of.mu.Lock()
		delete(p.of.pairs, p)
		p.of.mu.Unlock()
	}
	p.of.links.Done()
}

// reset closes a connection by an RST.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails on a connection that is gone
	}
	c.Close()
}

// direction is one way through a pair: both ends of a chain.
type direction struct {
	pair     *pair
	from, to net.Conn
	ended    atomic.Bool // from has no more
	broken   bool        // to takes no more; used by the one goroutine that writes
}

// Read is what goes into the chain.
func (d *direction) Read(b []byte) (int, error) {
	n, err := d.from.Read(b)
	if err != nil {
		d.ended.Store(true)
		if err != io.EOF {
			d.pair.reset() // as a connection without a proxy would be
		}
		err = io.EOF
	}
	return n, err
}

// Write is what comes out. It never fails: nobody would take what is in the chain
// out of it any more, and its goroutines would stay.
func (d *direction) Write(b []byte) (int, error) {
	if !d.broken {
		if _, err := d.to.Write(b); err != nil {
			d.broken = true
			d.pair.reset()
		}
	}
	return len(b), nil
}

// Close is called once, when the chain has come to its end: because from did, then
// to gets the end of the stream and may go on sending, or because a fault cut the
// stream.
func (d *direction) Close() error {
	if tcp, ok := d.to.(*net.TCPConn); ok && d.ended.Load() {
		_ = tcp.CloseWrite() // fails on a connection that is gone
	} else {
		d.pair.shut()
	}
	d.pair.over()
	return nil
}
