package load

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/proc"
)

func TestMain(m *testing.M) {
	proc.Main(Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// serveTest serves in this process until the test ends; handle gets each
// connection. Tests of behaviour need no process of its own; measurements do.
func serveTest(t *testing.T, network, address string, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
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

func TestSmoke(t *testing.T) {
	addr := serveTest(t, "tcp", "127.0.0.1:0", echo)
	for _, eng := range []EngineKind{Epoll, Portable} {
		for _, mode := range Modes {
			target, err := ParseTarget(context.Background(), "tcp://"+addr)
			require.NoError(t, err)
			p := Plan{Targets: []Target{target}, Mode: mode, Duration: 200 * time.Millisecond, Conns: 100, Engine: eng}
			if mode == Open {
				p.Rate = 5000
			}
			if mode == Stream {
				p.Pipeline = 4
			}
			r, err := Run(context.Background(), p)
			require.NoError(t, err)
			t.Logf("%s: %+v", mode, r)
			if r.LittleResidual != nil {
				t.Log(*r.Latency.P50, *r.Latency.Mean, *r.LittleResidual)
			}
		}
	}
}
