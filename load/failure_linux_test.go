package load

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/ptree"
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

// killing is a server during whose counted slices all children of this process
// are killed, which are generators.
type killing struct{ *fakeSubject }

func (k killing) Count(ctx context.Context) (func() (Counts, error), error) {
	tree, err := ptree.Processes(os.Getpid())
	if err != nil {
		return nil, err
	}
	for _, pid := range tree[1:] {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return nil, err
		}
	}
	return k.fakeSubject.Count(ctx)
}

func TestAGeneratorThatDiesIsHeldAgainstNobody(t *testing.T) {
	var f fakes
	victim := f.contender("b", 1000, nil)
	start := victim.Start
	victim.Start = func(ctx context.Context) (Subject, error) {
		s, err := start(ctx)
		if err != nil {
			return nil, err
		}
		return killing{s.(*fakeSubject)}, nil
	}
	comparing := short(1)
	comparing.Plan.Apart = true
	c, err := Interleave(t.Context(), comparing, f.contender("a", 1000, nil), victim)
	require.NoError(t, err)
	require.Len(t, c.Rounds, 1)
	assert.Contains(t, c.Rounds[0].Invalid, "the generator of ")
	assert.Contains(t, c.Rounds[0].Invalid, "signal: killed")
	assert.Empty(t, c.Rounds[0].Faulty)
}
