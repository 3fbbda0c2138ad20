package load

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/models"
)

// engines are those that this platform has.
func engines() []EngineKind {
	if defaultEngine == Epoll {
		return []EngineKind{Epoll, Portable}
	}
	return []EngineKind{Portable}
}

// eachEngine runs a test with every engine, parallel to others.
func eachEngine(t *testing.T, test func(t *testing.T, kind EngineKind)) {
	t.Helper()
	t.Parallel()
	for _, kind := range engines() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// serveTest serves in this process until the test ends; handle gets each
// connection. Tests of behaviour need no process of its own; measurements do.
func serveTest(t *testing.T, network, address string, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	var handlers sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			handlers.Go(func() {
				handle(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		handlers.Wait()
	})
	return l.Addr().String()
}

// serveAs serves a protocol on a network: "tcp4", "tcp6" or "unix".
func serveAs(t *testing.T, proto Protocol, network string, handle func(net.Conn)) Target {
	t.Helper()
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	target := Target{Protocol: proto, Network: "tcp", Host: "test", Path: "/plaintext"}
	if network == "unix" {
		dir, err := os.MkdirTemp("", "load") // t.TempDir may be too long for a socket's path
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		address, target.Network = filepath.Join(dir, "s"), "unix"
	}
	target.Address = serveTest(t, network, address, handle)
	return target
}

// serve serves a protocol on IPv4.
func serve(t *testing.T, proto Protocol, handle func(net.Conn)) Target {
	t.Helper()
	return serveAs(t, proto, "tcp4", handle)
}

func echo(c net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// speak serves connections by a service of package models.
func speak(service models.Service) func(net.Conn) {
	return func(c net.Conn) {
		session := service.Open()
		var in, out []byte
		b := make([]byte, 32<<10)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			in = append(in, b[:n]...)
			for len(in) > 0 {
				consumed, reply, next := session.Step(in, out[:0])
				in, out = in[consumed:], reply
				if _, err := c.Write(reply); err != nil || next.Op == models.Close {
					return
				}
				if consumed == 0 {
					break
				}
			}
		}
	}
}

// services are the servers of all protocols.
var services = map[Protocol]models.Service{
	EchoProtocol:  models.Echo{},
	FrameProtocol: models.Frame{},
	LineProtocol:  models.Line{},
	HTTPProtocol:  models.HTTP{},
}

// run carries out a plan that has to be good.
func run(t *testing.T, p Plan) *Result {
	t.Helper()
	r, err := Run(t.Context(), p)
	require.NoError(t, err)
	return r
}

// noErrors is what [Result.Errors] is when nothing failed.
var noErrors = ErrorCounts{}.Map()

// failures leaves the kinds that did not happen out of a result's errors.
func failures(r *Result) map[string]int64 {
	m := map[string]int64{}
	for kind, n := range r.Errors {
		if n != 0 {
			m[kind] = n
		}
	}
	return m
}
