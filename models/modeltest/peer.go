package modeltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// peer is the other end of a connection to a server. Its methods bound every
// operation and end the rule where the server misbehaves, so they are for the
// rule's own goroutine; those with "try" in their names are for others.
type peer struct {
	net.Conn
	p *probe
}

// dial connects to a server.
func (p *probe) dial(s *server) *peer {
	p.Helper()
	c, err := p.tryDial(s)
	if err != nil {
		p.fatalf("connect: %v", err)
	}
	p.cleanup(func() { _ = c.Close() })
	return c
}

// dialAll connects n times.
func (p *probe) dialAll(s *server, n int) []*peer {
	p.Helper()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = p.dial(s)
	}
	return peers
}

func (p *probe) tryDial(s *server) (*peer, error) {
	conn, err := net.DialTimeout(s.Addr().Network(), s.Addr().String(), p.patience)
	if err != nil {
		return nil, err
	}
	return &peer{Conn: conn, p: p}, nil
}

// narrow gives the peer's socket buffers a fixed size, so that it can take in
// little on behalf of a program that does not read.
func (c *peer) narrow(size int) {
	c.p.Helper()
	b, ok := c.Conn.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	})
	if !ok {
		return
	}
	if err := errors.Join(b.SetReadBuffer(size), b.SetWriteBuffer(size)); err != nil {
		c.p.fatalf("socket buffers of the peer: %v", err)
	}
}

// send writes all of b.
func (c *peer) send(b []byte) {
	c.p.Helper()
	if err := c.trySend(b); err != nil {
		c.p.fatalf("send %d bytes: %v", len(b), err)
	}
}

func (c *peer) trySend(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.p.patience)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// expect reads exactly want.
func (c *peer) expect(want []byte) {
	c.p.Helper()
	if err := c.tryExpect(want); err != nil {
		c.p.fatalf("%v", err)
	}
}

func (c *peer) tryExpect(want []byte) error {
	buf := make([]byte, min(len(want), 64<<10))
	for done := 0; done < len(want); {
		if err := c.SetReadDeadline(time.Now().Add(c.p.patience)); err != nil {
			return err
		}
		n, err := c.Read(buf[:min(len(buf), len(want)-done)])
		if !bytes.Equal(buf[:n], want[done:done+n]) {
			return fmt.Errorf("reply of %d bytes differs: %s", len(want), difference(buf[:n], want[done:done+n], done))
		}
		done += n
		if err != nil && done < len(want) {
			return fmt.Errorf("reply ends after %d of %d bytes: %w", done, len(want), err)
		}
	}
	return nil
}

// difference describes the first byte in which two slices of equal length
// differ; at is their place in the stream.
func difference(got, want []byte, at int) string {
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("byte %d is %#02x, want %#02x", at+i, got[i], want[i])
		}
	}
	return "no byte differs"
}

// ask sends a request and expects its reply.
func (c *peer) ask(request, reply []byte) {
	c.p.Helper()
	c.send(request)
	c.expect(reply)
}

// expectEnd demands the end of the stream, without another byte and without an
// error.
func (c *peer) expectEnd() {
	c.p.Helper()
	if err := c.readToEnd(); err != io.EOF {
		c.p.fatalf("want the end of the stream, found %v", err)
	}
}

// expectGone demands that the connection ends without another byte, by the end
// of the stream or by an error.
func (c *peer) expectGone() {
	c.p.Helper()
	var unexpected *surplusError
	err := c.readToEnd()
	if errors.As(err, &unexpected) || isTimeout(err) {
		c.p.fatalf("want a closed connection, found %v", err)
	}
}

// surplusError tells that bytes came where none was due.
type surplusError struct{ sample []byte }

func (e *surplusError) Error() string { return fmt.Sprintf("more bytes: %.20q", e.sample) }

func (c *peer) readToEnd() error {
	if err := c.SetReadDeadline(time.Now().Add(c.p.patience)); err != nil {
		return err
	}
	var buf [64]byte
	n, err := c.Read(buf[:])
	if n > 0 {
		return &surplusError{buf[:n]}
	}
	return err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// silent reports whether nothing, not even an end, arrives for a while.
func (c *peer) silent(d time.Duration) bool {
	if c.SetReadDeadline(time.Now().Add(d)) != nil {
		return false
	}
	var buf [1]byte
	n, err := c.Read(buf[:])
	return n == 0 && isTimeout(err)
}

// halfClose ends the peer's own direction.
func (c *peer) halfClose() {
	c.p.Helper()
	if h, ok := c.Conn.(interface{ CloseWrite() error }); !ok {
		c.p.fatalf("connections of type %T cannot be half closed", c.Conn)
	} else if err := h.CloseWrite(); err != nil {
		c.p.fatalf("half close: %v", err)
	}
}

// reset closes the connection so that the server sees an error.
func (c *peer) reset() {
	c.p.Helper()
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); !ok {
		c.p.fatalf("connections of type %T cannot be reset", c.Conn)
	} else if err := errors.Join(l.SetLinger(0), c.Close()); err != nil {
		c.p.fatalf("reset: %v", err)
	}
}

// exchange sends stream in pieces while it reads want. Pieces gives the sizes
// of the writes in turn; when it is used up, what is left goes in one write.
func (c *peer) exchange(stream []byte, pieces []int, want []byte) {
	c.p.Helper()
	sent := make(chan error, 1)
	go func() {
		for len(stream) > 0 {
			n := len(stream)
			if len(pieces) > 0 {
				n, pieces = min(n, pieces[0]), pieces[1:]
			}
			if err := c.trySend(stream[:n]); err != nil {
				sent <- fmt.Errorf("send: %w", err)
				return
			}
			stream = stream[n:]
		}
		sent <- nil
	}()
	err := c.tryExpect(want)
	if err != nil {
		_ = c.Close() // ends the sender
	}
	if err := errors.Join(err, <-sent); err != nil {
		c.p.fatalf("%v", err)
	}
}

// pattern returns n bytes that are the same for the same seed, and of which no
// part is likely to occur elsewhere.
func pattern(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}
