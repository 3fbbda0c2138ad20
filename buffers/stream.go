package buffers

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/testenv/link"
)

// Stream is a server in a process of its own that sends what it is asked for: see
// [Order]. It answers B2, B4 and B5, in which the direction from the server to the
// client is what counts.
type Stream struct {
	child *proc.Child
	addr  string
	over  *link.Link
}

// StreamOptions say where a [Stream] is.
type StreamOptions struct {
	// Over is the link between the server, at its end B, and its clients, at A. nil
	// for loopback.
	Over *link.Link

	// CPUs is the set that the server runs on; empty does not pin it.
	CPUs []int

	// StartTimeout bounds the time until it listens; 0 means 10 s.
	StartTimeout time.Duration

	// Log gets a copy of what the server writes to standard error; nil for none.
	Log io.Writer
}

// Order says what a [Stream] is to send on a connection, and how.
type Order struct {
	// Bytes is how much in all, 1 to 2^50.
	Bytes int64 `json:"bytes"`

	// Record is the number of bytes of one write by the program, 1 to 1 MiB.
	Record int `json:"record"`

	// Buffer is the size of the bufio.Writer that records are written to, up to
	// 64 MiB; 0 writes each record to the connection.
	Buffer int `json:"buffer,omitempty"`

	// Flush is the number of bytes after which the writer is flushed; 0 flushes
	// at the end only. A record is cut there.
	Flush int `json:"flush,omitempty"`

	// SendBuffer is SO_SNDBUF of the server's socket, up to 1 GiB, from this order
	// on; 0 leaves it as it is, with auto-tuning unless an earlier order had one.
	SendBuffer int `json:"send_buffer,omitempty"`

	// Force gives SendBuffer also beyond the host's wmem_max, as a host would whose
	// limit is larger. It needs CAP_NET_ADMIN.
	Force bool `json:"force,omitempty"`

	// Congestion is the congestion control of the server's socket from this order
	// on; "" leaves it as it is.
	Congestion string `json:"congestion,omitempty"`
}

// check names the field that makes no sense.
func (o Order) check() error {
	for _, f := range []struct {
		name      string
		value     int64
		min, most int64
	}{
		{"Bytes", o.Bytes, 1, 1 << 50},
		{"Record", int64(o.Record), 1, maxRecord},
		{"Buffer", int64(o.Buffer), 0, 64 << 20},
		{"Flush", int64(o.Flush), 0, 1 << 30},
		{"SendBuffer", int64(o.SendBuffer), 0, 1 << 30},
	} {
		if f.value < f.min || f.value > f.most {
			return fmt.Errorf("buffers: Order.%s is %d (want %d to %d)", f.name, f.value, f.min, f.most)
		}
	}
	return nil
}

// maxRecord bounds [Order.Record].
const maxRecord = 1 << 20

// patternLen is prime, so that a piece that is lost, repeated or exchanged meets
// other bytes than it should.
const patternLen = 65521

// pattern is what a Stream sends: patternLen bytes over and over. It is followed by
// its beginning, so that a record from any position is contiguous.
var pattern = sync.OnceValue(func() []byte {
	random := rand.New(rand.NewPCG(2, 6))
	b := make([]byte, patternLen+maxRecord)
	for i := 0; i < patternLen; i++ {
		b[i] = byte(random.Uint32())
	}
	for done := patternLen; done < len(b); {
		done += copy(b[done:], b[:done/patternLen*patternLen])
	}
	return b
})

// patternAt is what follows position at of what a Stream sends, n bytes of it, up to
// maxRecord.
func patternAt(at int64, n int) []byte {
	from := int(at % patternLen)
	return pattern()[from : from+n]
}

// StartStream starts a server and returns when it listens.
func StartStream(ctx context.Context, o StreamOptions) (*Stream, error) {
	spec := streamSpec{Address: "127.0.0.1:0"}
	if o.Over != nil {
		b := o.Over.B()
		// The path is one of this process' threads, which others see by its number.
		spec.Namespace = strings.Replace(b.Namespace(), "/proc/self/", fmt.Sprintf("/proc/%d/", os.Getpid()), 1)
		spec.Address = net.JoinHostPort(b.Addr().String(), "0")
	}
	child, err := proc.Start(ctx, proc.Options{
		Role: streamRole, Spec: spec, CPUs: o.CPUs, StartTimeout: o.StartTimeout, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("buffers: start a stream: %w", err)
	}
	s := &Stream{child: child, over: o.Over}
	if err := json.Unmarshal(child.Info(), &s.addr); err != nil {
		return nil, errors.Join(fmt.Errorf("buffers: start a stream: what it said when ready: %w", err), child.Kill())
	}
	return s, nil
}

// Addr is the address listened on, host:port. On a link it is one of end B.
func (s *Stream) Addr() string { return s.addr }

// PID is the id of the server's process.
func (s *Stream) PID() int { return s.child.PID() }

// Kill ends the server's process and returns when it is gone.
func (s *Stream) Kill() error { return s.child.Kill() }

// Stop ends the server, which closes its connections.
func (s *Stream) Stop(ctx context.Context) error { return s.child.Stop(ctx) }

// Bounds of waiting until the server is blocked: see CPU.
const (
	blockedLimit = 20 * time.Millisecond
	blockedPause = 200 * time.Microsecond
)

// CPU is the CPU time, user and system, that the server has used so far. It waits up
// to 20 ms until the server is blocked, because the clock of a process that runs lags
// by up to a tick of the kernel, 4 ms. Linux.
func (s *Stream) CPU(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, blockedLimit)
	defer cancel()
	for {
		blocked, err := ptree.Blocked(s.PID())
		if err != nil {
			return 0, fmt.Errorf("buffers: CPU time of the stream's server: %w", err)
		}
		if blocked {
			break
		}
		select {
		case <-time.After(blockedPause):
			continue
		case <-ctx.Done():
		}
		break
	}
	return s.CPUNow()
}

// CPUNow is CPU without waiting: of a server that does not pause, to within 4 ms. Linux.
func (s *Stream) CPUNow() (time.Duration, error) {
	used, err := ptree.CPUTime(s.PID())
	if err != nil {
		return 0, fmt.Errorf("buffers: CPU time of the stream's server: %w", err)
	}
	return used, nil
}

// Socket asks the server for the state of its socket of a download that is open.
func (s *Stream) Socket(ctx context.Context, d *Download) (SocketState, error) {
	var state SocketState
	err := s.child.Call(ctx, opSocket, d.conn.LocalAddr().String(), &state)
	return state, err
}

// Progress is how far a server has come.
type Progress struct {
	Written   int64  `json:"written"`   // bytes that were written to the connection asked about
	Allocated uint64 `json:"allocated"` // objects that the server has allocated on its heap
}

// Progress asks the server how far it has come with a download that is open.
func (s *Stream) Progress(ctx context.Context, d *Download) (Progress, error) {
	var p Progress
	err := s.child.Call(ctx, opProgress, d.conn.LocalAddr().String(), &p)
	return p, err
}

// granted is the server's answer to an order.
type granted struct {
	Error string `json:"error,omitempty"` // why the order is refused; the connection ends
}

// maxNote bounds an order and its answer, in bytes.
const maxNote = 4 << 10

// writeNote sends a value as JSON behind its length.
func writeNote(w io.Writer, note any) error {
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if len(text) > maxNote {
		return fmt.Errorf("a note of %d bytes (at most %d)", len(text), maxNote)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readNote reads what writeNote has sent, and not a byte more. At the end of the
// stream, before the first byte, the error is io.EOF.
func readNote(r io.Reader, into any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxNote {
		return fmt.Errorf("a note of %d bytes (at most %d)", n, maxNote)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("the rest of a note: %w", noEOF(err))
	}
	return json.Unmarshal(text, into)
}

// noEOF makes the end of the stream, where it is no proper end, an error that says so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
