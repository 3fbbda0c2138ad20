package zerocopy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// ServerConfig is the configuration of a [FileServer].
type ServerConfig struct {
	// File is the path of the file that is sent, a regular file that is not empty.
	File string `json:"file"`

	// SendBuffer is SO_SNDBUF of each connection in bytes; 0 leaves it to the kernel,
	// which lets it grow.
	SendBuffer int `json:"send_buffer,omitempty"`

	// Congestion is TCP_CONGESTION of each connection, for instance "reno"; "" leaves
	// it to the kernel. One that paces, as bbr does, arms a timer for almost every
	// packet, which can cost more than the copies that this package is about. Needs
	// Linux.
	Congestion string `json:"congestion,omitempty"`

	// Pacing is SO_MAX_PACING_RATE of each connection in bytes a second: it is paced,
	// also under a congestion control that does not pace by itself, and gets no faster
	// than that. 0 leaves it to the congestion control. Needs Linux.
	Pacing int64 `json:"pacing,omitempty"`

	// IdleTimeout bounds the time until a request has come; 0 means 5 minutes.
	IdleTimeout time.Duration `json:"idle_timeout,omitempty"`
}

// defaultIdle is the IdleTimeout if none is given.
const defaultIdle = 5 * time.Minute

// FileServer sends one file over TCP, from its beginning and in the way that the
// client asks for. A connection sends in one way only. Clients that take less than
// 64 KiB a second, beside 30 seconds, are cut off.
type FileServer struct {
	config ServerConfig

	mu        sync.Mutex
	closed    chan struct{}
	ended     bool // closed is closed
	listeners map[net.Listener]struct{}
	conns     map[*net.TCPConn]struct{}
	sessions  sync.WaitGroup
	stats     ServerStats
}

// ServerStats counts from the beginning of a server.
type ServerStats struct {
	Accepted  uint64 `json:"accepted"` // connections
	Open      int    `json:"open"`     // connections that are now
	Sends     uint64 `json:"sends"`    // requests to send that were met
	Failed    uint64 `json:"failed"`   // connections that ended otherwise than by the client's or the server's closing them
	LastError string `json:"last_error,omitempty"`
}

// ErrServerClosed is what Serve returns after Close.
var ErrServerClosed = errors.New("zerocopy: the server is closed")

// NewFileServer makes a server of a file.
func NewFileServer(config ServerConfig) (*FileServer, error) {
	info, err := os.Stat(config.File)
	switch {
	case err != nil:
		return nil, fmt.Errorf("serve a file: %w", err)
	case !info.Mode().IsRegular() || info.Size() == 0:
		return nil, fmt.Errorf("serve %s: it is a %v of %d bytes (want a regular file that is not empty)", config.File, info.Mode().Type(), info.Size())
	case config.SendBuffer < 0:
		return nil, fmt.Errorf("serve %s: SendBuffer is %d (want bytes, or 0 for the kernel's choice)", config.File, config.SendBuffer)
	case config.Pacing < 0:
		return nil, fmt.Errorf("serve %s: Pacing is %d (want bytes a second, or 0 for none)", config.File, config.Pacing)
	case config.IdleTimeout < 0:
		return nil, fmt.Errorf("serve %s: IdleTimeout is %v (want a time, or 0 for %v)", config.File, config.IdleTimeout, defaultIdle)
	case config.IdleTimeout == 0:
		config.IdleTimeout = defaultIdle
	}
	if config.Congestion != "" {
		if err := checkCongestion(config.Congestion); err != nil {
			return nil, fmt.Errorf("serve %s: %w", config.File, err)
		}
	}
	if config.Pacing > 0 {
		if err := checkPacing(); err != nil {
			return nil, fmt.Errorf("serve %s: %w", config.File, err)
		}
	}
	return &FileServer{
		config: config, closed: make(chan struct{}),
		listeners: map[net.Listener]struct{}{}, conns: map[*net.TCPConn]struct{}{},
	}, nil
}

// Serve accepts connections until Close, and returns [ErrServerClosed] then. It closes
// the listener, which has to be one for TCP.
func (s *FileServer) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
	}()
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			s.begin(c)
			continue
		}
		if s.isClosed() {
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept: %w", err)
		}
		// Out of descriptors, as a rule: they come back when connections end.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-s.closed:
			return ErrServerClosed
		}
	}
}

func (s *FileServer) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// begin starts the session of a connection.
func (s *FileServer) begin(c net.Conn) {
	conn, ok := c.(*net.TCPConn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.stats.Failed++
		s.stats.LastError = fmt.Sprintf("accepted a %T (listen on TCP)", c)
	}
	if !ok || s.ended {
		_ = c.Close()
		return
	}
	s.conns[conn] = struct{}{}
	s.stats.Accepted++
	s.sessions.Go(func() {
		err := s.session(conn)
		_ = conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
		if err != nil && !s.ended {
			s.stats.Failed++
			s.stats.LastError = err.Error()
		}
	})
}

// Stats says what the server did so far.
func (s *FileServer) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Open = len(s.conns)
	return stats
}

// Close closes listeners and connections, and returns when their goroutines have
// ended. It may be called again.
func (s *FileServer) Close() error {
	s.mu.Lock()
	if !s.ended {
		s.ended = true
		close(s.closed)
	}
	for l := range s.listeners {
		_ = l.Close() // Serve closes it, too
	}
	for c := range s.conns {
		_ = c.Close() // so does its session
	}
	s.mu.Unlock()
	s.sessions.Wait()
	return nil
}

// session answers the requests of a connection until it ends. The client's end of it
// between requests is no error.
func (s *FileServer) session(conn *net.TCPConn) (err error) {
	if s.config.SendBuffer > 0 {
		if err := conn.SetWriteBuffer(s.config.SendBuffer); err != nil {
			return err
		}
	}
	if s.config.Congestion != "" {
		if err := setCongestion(conn, s.config.Congestion); err != nil {
			return err
		}
	}
	if s.config.Pacing > 0 {
		if err := setPacing(conn, s.config.Pacing); err != nil {
			return err
		}
	}
	f, err := os.Open(s.config.File) // with a position of its own
	if err != nil {
		return err
	}
	defer f.Close()
	var sender Sender
	defer func() {
		if sender != nil {
			err = errors.Join(err, sender.Close())
		}
	}()
	lines := bufio.NewReaderSize(conn, maxRequest)
	for {
		if err := conn.SetDeadline(time.Now().Add(s.config.IdleTimeout)); err != nil {
			return err
		}
		line, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return errors.Join(
				fmt.Errorf("a request is longer than %d bytes", maxRequest),
				reply(conn, fmt.Sprintf("%s the request is longer than %d bytes", replyError, maxRequest)))
		case err != nil:
			return err
		}
		r, err := parseRequest(string(line[:len(line)-1]))
		if err == nil && r.verb == verbSend && sender == nil {
			sender, err = NewSender(conn, r.way)
		}
		if err == nil {
			err = s.refuse(r, sender, f)
		}
		if err != nil {
			if err := reply(conn, replyError+" "+err.Error()); err != nil {
				return err
			}
			continue
		}
		if err := s.answer(conn, r, sender, f); err != nil {
			return err
		}
	}
}

// refuse returns why a request cannot be met, if so.
func (s *FileServer) refuse(r request, sender Sender, f *os.File) error {
	if r.verb == verbReport {
		if sender == nil {
			return errors.New("nothing was sent on this connection yet")
		}
		return nil
	}
	if w := sender.Way(); r.way != w {
		return fmt.Errorf("this connection sends by %v (open another one for %v)", w, r.way)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if r.n > info.Size() {
		return fmt.Errorf("%d bytes are asked for of a file of %d", r.n, info.Size())
	}
	return nil
}

// answer meets a request.
func (s *FileServer) answer(conn *net.TCPConn, r request, sender Sender, f *os.File) error {
	if r.verb == verbReport {
		line, err := reportLine(sender.Report())
		if err != nil {
			return err
		}
		return reply(conn, line)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(allowed(r.n))); err != nil {
		return err
	}
	if err := reply(conn, fmt.Sprintf("%s %d", replyOK, r.n)); err != nil {
		return err
	}
	if _, err := sender.Send(f, 0, r.n); err != nil {
		return err
	}
	if err := sender.Settle(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Sends++
	return nil
}

// reply writes a line.
func reply(conn *net.TCPConn, line string) error {
	_, err := io.WriteString(conn, line+"\n")
	return err
}
