package buffers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// Calls are exchanges of frames with a server of B6, one after the other on one
// connection: a client whose options are part of the question, which those of package
// load are not.
type Calls struct {
	Address string // host:port
	Size    int    // payload of a request in bytes, 1 to 1 MiB
	Count   int    // exchanges, 1 or more

	// Split writes the length of a frame and its payload apart, as code without a
	// buffer does. With Nagle's algorithm the payload waits until the length is
	// acknowledged, and a server that waits for the payload has nothing to send
	// the acknowledgement with.
	Split bool

	// Nagle leaves Nagle's algorithm on.
	Nagle bool

	// QuickAck acknowledges at once, by TCP_QUICKACK before each read. It helps a
	// server that answers in pieces. Linux.
	QuickAck bool
}

// Stall is the time from which on an exchange over loopback is taken to have waited for
// a delayed acknowledgement. Linux delays one by 40 ms at least (TCP_DELACK_MIN in
// include/net/tcp.h), and loopback takes some ten microseconds.
const Stall = 30 * time.Millisecond

// Stalls counts the exchanges that were stalled.
func Stalls(took []time.Duration) (n int) {
	for _, d := range took {
		if d >= Stall {
			n++
		}
	}
	return n
}

// callLimit bounds one exchange.
const callLimit = 10 * time.Second

// Do makes the exchanges and returns how long each took, in their order. A reply that is
// not its request is an error.
func (c Calls) Do(ctx context.Context) (took []time.Duration, err error) {
	if c.Size < 1 || c.Size > smallMax || c.Count < 1 {
		return nil, fmt.Errorf("buffers: %d calls of %d bytes (want 1 or more of 1 to %d)", c.Count, c.Size, smallMax)
	}
	dialer := net.Dialer{KeepAlive: -1}
	dialer.SetMultipathTCP(false)
	nc, err := dialer.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("buffers: calls: %w", err)
	}
	defer func() { err = errors.Join(err, nc.Close()) }()
	tcp := nc.(*net.TCPConn)
	if err := tcp.SetNoDelay(!c.Nagle); err != nil {
		return nil, fmt.Errorf("buffers: calls: %w", err)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("buffers: calls: %w", err)
	}
	quick := newQuickAck(raw)
	random := rand.New(rand.NewPCG(uint64(c.Size), 4))
	request := binary.BigEndian.AppendUint32(nil, uint32(c.Size))
	request = append(request, make([]byte, c.Size)...)
	reply := make([]byte, len(request))
	took = make([]time.Duration, 0, c.Count)
	for i := range c.Count {
		if err := ctx.Err(); err != nil {
			return took, err
		}
		for at := smallHeader; at < len(request); at += max(1, c.Size/8) {
			request[at] = byte(random.Uint32())
		}
		began := time.Now()
		_ = tcp.SetDeadline(began.Add(callLimit))
		if err := c.exchange(tcp, quick, request, reply); err != nil {
			return took, fmt.Errorf("buffers: call %d: %w", i, err)
		}
		took = append(took, time.Since(began))
		if !bytes.Equal(reply, request) {
			return took, fmt.Errorf("buffers: call %d: the reply is not the request", i)
		}
	}
	return took, nil
}

// exchange sends a request and reads its reply.
func (c Calls) exchange(tcp *net.TCPConn, quick *setter, request, reply []byte) error {
	pieces := [][]byte{request}
	if c.Split {
		pieces = [][]byte{request[:smallHeader], request[smallHeader:]}
	}
	for _, p := range pieces {
		if _, err := tcp.Write(p); err != nil {
			return err
		}
	}
	for at := 0; at < len(reply); {
		if c.QuickAck {
			if err := quick.to(1); err != nil {
				return err
			}
		}
		n, err := tcp.Read(reply[at:])
		at += n
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}
