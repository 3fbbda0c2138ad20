package buffers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Download is a client's connection to a [Stream]. Its methods are called by one
// goroutine.
type Download struct {
	conn net.Conn
	raw  syscall.RawConn
	room []byte // to read into

	order Order
	at    int64 // bytes of the order that were read
	total int64 // bytes of all orders that were read
}

// Reading says how a [Download] reads.
type Reading struct {
	// Buffer is the size of one read in bytes; 0 means 64 KiB.
	Buffer int

	// ReceiveBuffer is SO_RCVBUF, which has to be set before the connection is
	// made, because its window's scale is agreed on then; 0 leaves it to
	// auto-tuning. Linux.
	ReceiveBuffer int

	// Force gives ReceiveBuffer also beyond the host's rmem_max, as a host would
	// whose limit is larger. It needs CAP_NET_ADMIN.
	Force bool
}

// downloadLimit bounds the time that one read waits.
const downloadLimit = 20 * time.Second

// Open connects to the server, from end A if it is on a link.
func (s *Stream) Open(ctx context.Context, r Reading) (*Download, error) {
	if r.Buffer < 0 || r.ReceiveBuffer < 0 {
		return nil, fmt.Errorf("buffers: Reading is %+v (want sizes of 0 and more)", r)
	}
	dialer := net.Dialer{KeepAlive: -1}
	dialer.SetMultipathTCP(false)
	dialer.Control = func(_, _ string, raw syscall.RawConn) error {
		if r.ReceiveBuffer == 0 {
			return nil
		}
		return setReceiveBuffer(raw, r.ReceiveBuffer, r.Force)
	}
	var c net.Conn
	dial := func() (err error) {
		c, err = dialer.DialContext(ctx, "tcp", s.addr)
		return err
	}
	var err error
	if s.over == nil {
		err = dial()
	} else {
		err = s.over.A().Do(dial)
	}
	if err != nil {
		return nil, fmt.Errorf("buffers: open a download: %w", err)
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	d := &Download{conn: c, raw: raw, room: make([]byte, cmp.Or(r.Buffer, 64<<10))}
	if err := d.accepted(ctx); err != nil {
		return nil, fmt.Errorf("buffers: open a download: %w", errors.Join(err, c.Close()))
	}
	return d, nil
}

// accepted waits until the server has the connection.
func (d *Download) accepted(ctx context.Context) error {
	_ = d.conn.SetDeadline(time.Now().Add(downloadLimit))
	defer context.AfterFunc(ctx, func() { _ = d.conn.SetDeadline(past) })()
	var greeting granted
	if err := readNote(d.conn, &greeting); err != nil {
		return errors.Join(noEOF(err), ctx.Err())
	}
	return nil
}

// Order asks for bytes, which may be read when it returns. What an order before it
// brought has to be read to its end.
func (d *Download) Order(o Order) error {
	if left := d.Left(); left > 0 {
		return fmt.Errorf("buffers: an order before the one before it is read (%d bytes are left)", left)
	}
	d.order, d.at = Order{}, 0
	_ = d.conn.SetDeadline(time.Now().Add(downloadLimit))
	if err := writeNote(d.conn, o); err != nil {
		return fmt.Errorf("buffers: order: %w", err)
	}
	var answer granted
	if err := readNote(d.conn, &answer); err != nil {
		return fmt.Errorf("buffers: order: %w", noEOF(err))
	}
	if answer.Error != "" {
		return fmt.Errorf("buffers: the order was refused: %s", answer.Error)
	}
	d.order = o
	return nil
}

// Left is the number of bytes of the order that were not read.
func (d *Download) Left() int64 { return d.order.Bytes - d.at }

// Take reads n bytes and does not look at them. It fails if the stream ends before.
func (d *Download) Take(n int64) error { return d.read(n, false) }

// Verify reads n bytes and compares each with what should be there. Of what was
// taken before, it finds out whether anything was lost or came twice.
func (d *Download) Verify(n int64) error { return d.read(n, true) }

func (d *Download) read(n int64, look bool) error {
	if n > d.Left() {
		return fmt.Errorf("buffers: read %d bytes of %d that are left", n, d.Left())
	}
	var renewed time.Time
	for end := d.at + n; d.at < end; {
		if now := time.Now(); now.Sub(renewed) > time.Second {
			renewed = now
			_ = d.conn.SetReadDeadline(now.Add(downloadLimit))
		}
		got, err := d.conn.Read(d.room[:min(int64(len(d.room)), end-d.at, maxRecord)])
		if look && got > 0 {
			if want := patternAt(d.at, got); !bytes.Equal(d.room[:got], want) {
				return fmt.Errorf("buffers: wrong bytes in the %d from %d on", got, d.at)
			}
		}
		d.advance(got)
		if err != nil && d.at < end {
			return fmt.Errorf("buffers: %d bytes before their end: %w", end-d.at, noEOF(err))
		}
	}
	return nil
}

func (d *Download) advance(n int) {
	d.at += int64(n)
	d.total += int64(n)
}

// TakeFor reads until the time is over and returns how much that was. It fails if the
// order does not bring enough.
func (d *Download) TakeFor(span time.Duration) (int64, error) {
	from, end := d.at, time.Now().Add(span)
	_ = d.conn.SetReadDeadline(end)
	for d.Left() > 0 {
		got, err := d.conn.Read(d.room[:min(int64(len(d.room)), d.Left(), maxRecord)])
		d.advance(got)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return d.at - from, nil
		}
		if err != nil {
			return d.at - from, fmt.Errorf("buffers: %d bytes before their end: %w", d.Left(), noEOF(err))
		}
	}
	return d.at - from, fmt.Errorf("buffers: the order of %d bytes ended before %v were over: %w", d.order.Bytes, span, io.ErrUnexpectedEOF)
}

// Socket is the state of the client's socket. Linux.
func (d *Download) Socket() (SocketState, error) { return stateOf(d.raw) }

// Close closes the connection, also amid an order.
func (d *Download) Close() error { return d.conn.Close() }
