package zerocopy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"netbench/internal/tcpserver"
	"netbench/models"
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

	// IdleTimeout closes a connection on which nothing has moved for so long; 0 means 5
	// minutes. Elsewhere than on Linux a file counts when it was sent.
	IdleTimeout time.Duration `json:"idle_timeout,omitempty"`
}

// defaultIdle is the IdleTimeout if none is given.
const defaultIdle = 5 * time.Minute

// FileServer sends one file over TCP, from its beginning and in the way that the
// client asks for. A connection sends in one way only. Clients that take less than
// 64 KiB a second, beside 30 seconds, are cut off.
//
// It listens on a free loopback port. Of [models.Stats], BytesOut is what was taken by
// senders, and requests are not counted in BytesIn.
type FileServer struct {
	*tcpserver.Server
	config    ServerConfig
	sends     atomic.Uint64
	lastError atomic.Pointer[error]
}

// NewFileServer makes a server of a file, which listens when it returns.
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
		if err := tcpserver.CheckCongestion(config.Congestion); err != nil {
			return nil, fmt.Errorf("serve %s: %w", config.File, err)
		}
	}
	if config.Pacing > 0 && runtime.GOOS != "linux" {
		return nil, fmt.Errorf("serve %s: Pacing: %w (it needs Linux)", config.File, errors.ErrUnsupported)
	}
	s := &FileServer{config: config}
	s.Server, err = tcpserver.New(models.Config{
		Service: models.Echo{}, // has to be one, and is not looked at
		Address: "127.0.0.1:0", SendBuffer: config.SendBuffer, IdleTimeout: config.IdleTimeout,
	}, models.Stats{Model: "zerocopy"}, func(c *net.TCPConn) tcpserver.Session {
		return &session{server: s, conn: c}
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", config.File, err)
	}
	return s, nil
}

// Sends is how many requests to send were met.
func (s *FileServer) Sends() uint64 { return s.sends.Load() }

// LastError is why a connection failed that did last; nil if none has. Stats counts them
// in ConnErrors.
func (s *FileServer) LastError() error {
	if err := s.lastError.Load(); err != nil {
		return *err
	}
	return nil
}

// session is a connection. It is a [tcpserver.Session].
type session struct {
	server   *FileServer
	conn     *net.TCPConn
	sent     atomic.Int64 // bytes
	draining atomic.Bool
	cut      atomic.Bool
}

// Serve answers requests until the client ends the connection, and closes it.
func (s *session) Serve() error {
	err := s.serve()
	_ = s.conn.Close()
	if err != nil && !s.cut.Load() {
		s.server.lastError.Store(&err)
	}
	return err
}

// Drain wakes the session if it waits for a request.
func (s *session) Drain() {
	s.draining.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

// Cut closes the connection.
func (s *session) Cut() {
	s.cut.Store(true)
	_ = s.conn.Close()
}

// Progress counts bytes, on Linux also within a file.
func (s *session) Progress() uint64 {
	return uint64(s.sent.Load()) + tcpserver.Transferred(s.conn)
}

// AddTo adds what was sent.
func (s *session) AddTo(stats *models.Stats) { stats.BytesOut += uint64(s.sent.Load()) }

// serve answers requests until the connection ends. The client's end of it between
// requests is no error, nor is the server's.
func (s *session) serve() (err error) {
	conn := s.conn
	if s.server.config.Congestion != "" {
		if err := tcpserver.SetCongestion(conn, s.server.config.Congestion); err != nil {
			return err
		}
	}
	if s.server.config.Pacing > 0 {
		if err := tcpserver.SetPacing(conn, s.server.config.Pacing); err != nil {
			return err
		}
	}
	f, err := os.Open(s.server.config.File) // with a position of its own
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
		line, err := lines.ReadSlice('\n')
		if err := conn.SetWriteDeadline(time.Now().Add(grace)); err != nil {
			return err
		}
		switch {
		case err == io.EOF && len(line) == 0, s.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded):
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
		if err := s.answer(r, sender, f); err != nil {
			return err
		}
	}
}

// refuse returns why a request cannot be met, if so.
func (s *session) refuse(r request, sender Sender, f *os.File) error {
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
func (s *session) answer(r request, sender Sender, f *os.File) error {
	if r.verb == verbReport {
		line, err := reportLine(sender.Report())
		if err != nil {
			return err
		}
		return reply(s.conn, line)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(allowed(r.n))); err != nil {
		return err
	}
	if err := reply(s.conn, fmt.Sprintf("%s %d", replyOK, r.n)); err != nil {
		return err
	}
	sent, err := sender.Send(f, 0, r.n)
	s.sent.Add(sent)
	if err != nil {
		return err
	}
	if err := sender.Settle(); err != nil {
		return err
	}
	s.server.sends.Add(1)
	return nil
}

// reply writes a line.
func reply(conn *net.TCPConn, line string) error {
	_, err := io.WriteString(conn, line+"\n")
	return err
}
