package proxy

import (
	"context"
	"net"

	"netbench/internal/tcpserver"
	"netbench/models"
)

// Server is a proxy. It is a [models.Server] with these differences: BytesIn is what
// was passed on to upstreams and BytesOut what was passed on to clients; a connection
// whose upstream cannot be reached is a ConnError; Paused is not counted; connections
// in the backlog are reset by Shutdown.
type Server struct {
	*tcpserver.Server
	engine engine
}

var _ models.Server = (*Server)(nil)

// engine is a way.
type engine interface {
	// move passes bytes on until the source ends, which is nil, or one of the two
	// fails.
	move(*direction) error

	// pipes tells what the way holds now.
	pipes() PipeStats

	// close frees what is held. Nothing moves any more, and nothing will.
	close()
}

// PipeStats counts the pipes of a proxy's pool. [Buffer] and [Copy] have none: those
// of io.Copy are the standard library's own, and [ReadHoldings] finds them.
type PipeStats struct {
	Open  int    // pipes that exist, with two descriptors each
	Idle  int    // of these, those that nobody uses now; all are empty
	Made  uint64 // pipes made so far
	Bytes int    // capacity of those that exist, in bytes

	// Short says why pipes hold fewer bytes than were asked for, "" if they do not.
	Short string
}

// New makes a proxy, which listens when New returns. Config.Service has to be set
// as for any server, but is not looked at: it is what the upstream speaks.
// Config.ReadBuffer is how many bytes are moved at a time, and the most that the
// proxy holds for a direction. Buffer sizes and delay are set on both connections.
func New(cfg models.Config, o Options) (*Server, error) {
	cfg, err := cfg.Validate()
	if err != nil {
		return nil, err
	}
	if o, err = o.check(); err != nil {
		return nil, err
	}
	e, err := newEngine(o, cfg.ReadBuffer)
	if err != nil {
		return nil, err
	}
	s := &Server{engine: e}
	s.Server, err = tcpserver.New(cfg, models.Stats{Model: "proxy", Variant: string(o.Way)}, func(c *net.TCPConn) tcpserver.Session {
		return newLink(cfg, o, e, c)
	})
	if err != nil {
		e.close()
		return nil, err
	}
	return s, nil
}

// Pipes tells what the proxy's pool of pipes holds now.
func (s *Server) Pipes() PipeStats { return s.engine.pipes() }

// Stats is [models.Server]'s. Fallback says so if pipes are smaller than
// Config.ReadBuffer.
func (s *Server) Stats() models.Stats {
	stats := s.Server.Stats()
	stats.Fallback = s.engine.pipes().Short
	return stats
}

// Shutdown drains: see the package's introduction.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	s.engine.close()
	return err
}

// Close is [models.Server]'s.
func (s *Server) Close() error {
	err := s.Server.Close()
	s.engine.close()
	return err
}
