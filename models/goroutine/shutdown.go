package goroutine

import (
	"context"
	"time"
)

// past is a deadline that wakes whoever is blocked.
var past = time.Unix(1, 0)

// Shutdown drains. What it adds to the contract:
//
// Connections in the backlog are accepted and drained as well, including those
// that come while they are, until there are none for a moment; then the listener
// is closed. If Serve was never called, they are reset.
//
// A connection is drained up to where its stream ended when it noticed the
// shutdown: requests that begin before that place are answered, one that is cut
// by it may complete within IdleTimeout of silence, and later ones are not
// answered. So a peer that goes on sending cannot hold the shutdown up. Where
// the platform cannot tell how much has arrived, that place is the end of one
// more read.
//
// Then the stream is ended, and what the peer still sends is discarded until it
// ends too, for a quarter of a second at most.
func (s *server) Shutdown(ctx context.Context) error {
	s.beginDrain()
	select {
	case <-s.drained:
	default:
		select {
		case <-s.drained:
		case <-ctx.Done():
			select {
			case <-s.drained:
			default:
				_ = s.Close()
				return ctx.Err()
			}
		}
	}
	s.running.Wait()
	return nil
}

// beginDrain tells everybody that the server drains, and wakes those who are
// blocked. Who moves a deadline after it was set here looks at draining
// afterwards, or waits for swept before.
func (s *server) beginDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() || s.closed {
		return
	}
	s.draining.Store(true)
	close(s.drain)
	for c := range s.conns {
		_ = c.nc.SetReadDeadline(past)
	}
	for _, l := range s.listeners {
		if s.accepting {
			l.wake()
		} else {
			l.close()
		}
	}
	close(s.swept)
	s.checkDrained()
}

// Close closes everything. It waits for work in progress that blocks, as nothing
// can interrupt it.
func (s *server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.killed)
		if !s.draining.Load() {
			s.draining.Store(true)
			close(s.drain)
			close(s.swept)
		}
		for _, l := range s.listeners {
			l.close()
		}
		for c := range s.conns {
			_ = c.nc.Close()
		}
		s.checkDrained()
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// checkDrained closes drained when the server has stopped and nothing is left of
// it. The caller holds mu.
func (s *server) checkDrained() {
	if !s.draining.Load() || s.accepting || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}
