package strategies_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy is the way to a server, which can stand still, and lead to another server.
// A connection ends at both ends when one end closes it.
type proxy struct {
	listener net.Listener
	relays   sync.WaitGroup

	mu     sync.Mutex
	target string
	moving chan struct{} // closed while bytes pass
	open   map[net.Conn]bool
}

// newProxy leads to a target until t ends.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: target, moving: make(chan struct{}), open: map[net.Conn]bool{}}
	close(p.moving)
	p.relays.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.relays.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// lead has new connections go to another target.
func (p *proxy) lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// stall lets nothing pass for a while.
func (p *proxy) stall(ctx context.Context, d time.Duration) error {
	moving := make(chan struct{})
	p.mu.Lock()
	p.moving = moving
	p.mu.Unlock()
	defer close(moving)
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open[client], p.open[server] = true, true
		p.mu.Unlock()
		p.relays.Go(func() { p.relay(client, server) })
		p.relays.Go(func() { p.relay(server, client) })
	}
}

// relay passes bytes on until one end closes, and closes both then.
func (p *proxy) relay(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		delete(p.open, to)
		delete(p.open, from)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		moving := p.moving
		p.mu.Unlock()
		<-moving
		if _, e := to.Write(buffer[:n]); e != nil || err != nil && err != io.EOF || n == 0 {
			return
		}
	}
}
