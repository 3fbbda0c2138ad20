package load

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFullBacklogOfAUnixSocketIsWaitedFor(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		dir, err := os.MkdirTemp("", "load")
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		l, err := net.Listen("unix", filepath.Join(dir, "s"))
		require.NoError(t, err)
		defer l.Close()
		raw, err := l.(*net.UnixListener).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 2) })) // a small backlog
		require.NoError(t, err)
		done := make(chan struct{})
		time.AfterFunc(100*time.Millisecond, func() {
			defer close(done)
			for range 20 {
				if c, err := l.Accept(); err == nil {
					go func() { defer c.Close(); echo(c) }()
				}
			}
		})
		p := bounded(Closed)
		p.Targets, p.Engine, p.Conns = []Target{{Protocol: EchoProtocol, Network: "unix", Address: l.Addr().String()}}, kind, 20
		r := run(t, p)
		checkNothingFailed(t, p, r)
		<-done
	})
}
