package zerocopy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// readBuffer is the buffer of a client in bytes: twice that of iperf3, so that a client
// does not make more system calls than it.
const readBuffer = 256 << 10

// FileClient is a client of a [FileServer]. Its methods are not to be called from
// several goroutines at a time. After an error, but for a [*RefusedError], it can only
// be closed.
type FileClient struct {
	conn net.Conn
	in   *bufio.Reader
}

// RefusedError is why the server does not meet a request. The connection goes on.
type RefusedError struct {
	Request string // the line of the request
	Reason  string // what the server said
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the file server refused %q: %s", e.Request, e.Reason)
}

// DialFileServer connects to the server at a TCP address.
func DialFileServer(ctx context.Context, addr string) (*FileClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial the file server: %w", err)
	}
	return newFileClient(conn), nil
}

func newFileClient(conn net.Conn) *FileClient {
	return &FileClient{conn: conn, in: bufio.NewReaderSize(conn, readBuffer)}
}

// Fetch asks for n bytes by a way, and reads and forgets them.
func (c *FileClient) Fetch(way Way, n int64) error {
	return c.send(way, n, func() (int64, error) {
		var read int64
		for read < n {
			// An int may be too small for n.
			k, err := c.in.Discard(int(min(n-read, 1<<30)))
			read += int64(k)
			if err != nil {
				return read, err
			}
		}
		return read, nil
	})
}

// Hash asks for n bytes by a way and returns the SHA-256 of them.
func (c *FileClient) Hash(way Way, n int64) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	err = c.send(way, n, func() (int64, error) { return io.CopyN(h, c.in, n) })
	return [sha256.Size]byte(h.Sum(nil)), err
}

// send asks for n bytes and calls take to read them.
func (c *FileClient) send(way Way, n int64, take func() (int64, error)) error {
	r := request{verb: verbSend, way: way, n: n}
	line, err := c.ask(r, allowed(n))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s %d", replyOK, n); line != want {
		return fmt.Errorf("the file server answered %.80q to %q (want %q)", line, r, want)
	}
	got, err := take()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes from the file server: after %d: %w", n, got, err)
	}
	return nil
}

// Report asks what this connection was sent so far, and how.
func (c *FileClient) Report() (Report, error) {
	r := request{verb: verbReport}
	line, err := c.ask(r, grace)
	if err != nil {
		return Report{}, err
	}
	text, found := strings.CutPrefix(line, replyReport+" ")
	var report Report
	if !found || json.Unmarshal([]byte(text), &report) != nil {
		return Report{}, fmt.Errorf("the file server answered %.80q to %q (want a report)", line, r)
	}
	return report, nil
}

// ask makes a request and reads the line of the answer. The exchange, with what
// follows the line, may take the time within.
func (c *FileClient) ask(r request, within time.Duration) (line string, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c.conn, r.String()+"\n"); err != nil {
		return "", fmt.Errorf("ask the file server: %w", err)
	}
	answer, err := c.in.ReadSlice('\n') // at most the buffer
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", fmt.Errorf("ask the file server %q: %w", r, err)
	}
	line = string(answer[:len(answer)-1])
	if reason, refused := strings.CutPrefix(line, replyError+" "); refused {
		return "", &RefusedError{Request: r.String(), Reason: reason}
	}
	return line, nil
}

// Close closes the connection.
func (c *FileClient) Close() error { return c.conn.Close() }
