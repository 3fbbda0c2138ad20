package buffers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"netbench/internal/proc"
)

// streamRole is the role of a Stream's process; the others are its operations.
const (
	streamRole = "buffers-stream"
	opSocket   = "socket"
	opProgress = "progress"
)

// stallLimit is how long a client of a Stream may take nothing, or ask for nothing.
const stallLimit = 30 * time.Second

// acceptPause is the wait after an accept that failed.
const acceptPause = 5 * time.Millisecond

// streamSpec is where a Stream listens.
type streamSpec struct {
	Namespace string `json:"namespace,omitempty"` // path of a network namespace; "" for the process' own
	Address   string `json:"address"`
}

// Role is the role of a [Stream]'s process. Programs that start one pass it to
// testenv.Main or proc.Main.
func Role() proc.Role { return proc.Role{Name: streamRole, Run: runStream} }

// runStream is the life of a Stream's process.
func runStream(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var spec streamSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("specification of a stream: %w", err)
	}
	l, err := listenIn(spec.Namespace, spec.Address)
	if err != nil {
		return err
	}
	s := &streamServer{open: map[string]*patient{}}
	ch.Handle(opSocket, func(_ context.Context, arg json.RawMessage) (any, error) {
		var peer string
		if err := json.Unmarshal(arg, &peer); err != nil {
			return nil, err
		}
		return s.state(peer)
	})
	ch.Handle(opProgress, func(_ context.Context, arg json.RawMessage) (any, error) {
		var peer string
		if err := json.Unmarshal(arg, &peer); err != nil {
			return nil, err
		}
		return s.progress(peer)
	})
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(l) })
	pattern() // now, and not in the first order
	if err := ch.Ready(l.Addr().String()); err != nil {
		return errors.Join(err, l.Close())
	}
	<-ctx.Done()
	err = l.Close()
	accepting.Wait()
	s.closeAll()
	return err
}

// streamServer serves the connections of a Stream, a goroutine for each.
type streamServer struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[string]*patient // by the client's address
}

// accept serves connections until the listener is closed. An accept that fails for
// want of something is tried again, not at once.
func (s *streamServer) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		to, peer := &patient{c: c.(*net.TCPConn)}, c.RemoteAddr().String()
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = c.Close()
			continue
		}
		s.open[peer] = to
		s.running.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.running.Done()
			serveOrders(to) // what ends it is the client's to see
			s.mu.Lock()
			delete(s.open, peer)
			s.mu.Unlock()
			_ = to.c.Close()
		}()
	}
}

// closeAll closes all connections and waits for their goroutines.
func (s *streamServer) closeAll() {
	s.mu.Lock()
	s.closed = true
	for _, to := range s.open {
		_ = to.c.SetLinger(0) // what the client did not read is not sent on
		_ = to.c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// to is the connection to a client.
func (s *streamServer) to(peer string) (*patient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.open[peer]; to != nil {
		return to, nil
	}
	return nil, fmt.Errorf("no connection from %s is open", peer)
}

// state is that of the socket to a client.
func (s *streamServer) state(peer string) (SocketState, error) {
	to, err := s.to(peer)
	if err != nil {
		return SocketState{}, err
	}
	raw, err := to.c.SyscallConn()
	if err != nil {
		return SocketState{}, err
	}
	return stateOf(raw)
}

// progress is how far the server has come with a client.
func (s *streamServer) progress(peer string) (Progress, error) {
	to, err := s.to(peer)
	if err != nil {
		return Progress{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Progress{Written: to.written.Load(), Allocated: m.Mallocs}, nil
}

// serveOrders says that the connection was accepted, as a client that was only queued could
// not ask about it, and carries out orders one after the other until the client ends the
// stream, or stalls, or orders nonsense, which is answered.
func serveOrders(to *patient) {
	if writeNote(to, granted{}) != nil {
		return
	}
	var w *bufio.Writer
	for {
		_ = to.c.SetReadDeadline(time.Now().Add(stallLimit))
		var o Order
		if readNote(to.c, &o) != nil {
			return
		}
		err := o.check()
		if err == nil {
			err = o.configure(to.c)
		}
		if err != nil {
			_ = writeNote(to, granted{Error: err.Error()})
			return
		}
		if writeNote(to, granted{}) != nil {
			return
		}
		if o.Buffer > 0 && (w == nil || w.Size() != o.Buffer) {
			w = bufio.NewWriterSize(to, o.Buffer)
		}
		if o.Buffer == 0 {
			err = o.send(to, func() error { return nil })
		} else {
			err = o.send(w, w.Flush)
		}
		if err != nil {
			return
		}
	}
}

// configure sets the options of the socket that the order asks for.
func (o Order) configure(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if o.SendBuffer > 0 {
		if err := setSendBuffer(raw, o.SendBuffer, o.Force); err != nil {
			return err
		}
	}
	if o.Congestion != "" {
		return setCongestion(raw, o.Congestion)
	}
	return nil
}

// send writes what is ordered, record by record.
func (o Order) send(w io.Writer, flush func() error) error {
	held := 0 // bytes since the last flush
	for at := int64(0); at < o.Bytes; {
		n := int(min(int64(o.Record), o.Bytes-at))
		if o.Flush > 0 {
			n = min(n, o.Flush-held)
		}
		if _, err := w.Write(patternAt(at, n)); err != nil {
			return err
		}
		at += int64(n)
		if held += n; held == o.Flush {
			held = 0
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// patient writes with a deadline that each write moves, if it is not new: a client
// that takes its bytes slowly is served, one that takes none is not.
type patient struct {
	c       *net.TCPConn
	renewed time.Time
	written atomic.Int64 // bytes
}

func (p *patient) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.renewed) > time.Second {
		p.renewed = now
		_ = p.c.SetWriteDeadline(now.Add(stallLimit))
	}
	n, err := p.c.Write(b)
	p.written.Add(int64(n))
	return n, err
}
