package zerocopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/results"
	"netbench/testenv"
)

// benchSizes are what a client asks for at a time.
var benchSizes = []int64{1 << 20, 10 << 20, 100 << 20}

// countFor is how long system calls are counted, in exchanges of their own.
const countFor = 100 * time.Millisecond

// place keeps this process, the client, off the server's CPUs.
var place = sync.OnceValues(func() (testenv.Placement, error) {
	p, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(p.Generator)
	}
	return p, err
})

func placed(t testing.TB) testenv.Placement {
	t.Helper()
	p, err := place()
	require.NoError(t, err)
	return p
}

// remote starts a server of a file of n bytes in a process and on CPUs of its own.
func remote(t testing.TB, n int64) *testenv.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, n))
	return remoteOf(t, ServerConfig{File: path})
}

func remoteOf(t testing.TB, config ServerConfig) *testenv.Server {
	t.Helper()
	p, err := StartFileServer(context.Background(), config, placed(t).Server)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	return p
}

// blockedCPU is the CPU time of a server that has answered, when it is blocked.
func blockedCPU(p *testenv.Server) (time.Duration, error) {
	const tries = 100 // of some 20 ms each
	err := p.Quiesce(context.Background())
	for i := 1; i < tries && errors.Is(err, testenv.ErrStillRunning); i++ {
		err = p.Quiesce(context.Background())
	}
	if err != nil {
		return 0, err
	}
	return p.CPU()
}

// used is what a server and a connection have used so far.
type used struct {
	cpu    time.Duration // of the server
	report Report        // of the connection
}

// reading reads it. The CPU time is absent, -1, where the platform does not tell it.
func reading(t testing.TB, p *testenv.Server, c *FileClient) used {
	t.Helper()
	u := used{cpu: -1}
	var err error
	u.report, err = c.Report()
	require.NoError(t, err)
	if d, err := blockedCPU(p); err == nil {
		u.cpu = d
	}
	return u
}

// verify checks the bytes of a way, by their hash, and thereby warms it up.
func verify(t testing.TB, c *FileClient, way Way, n int64, want [sha256.Size]byte) {
	t.Helper()
	got, err := c.Hash(way, n)
	require.NoError(t, err)
	require.Equal(t, want, got, "%v sends other bytes", way)
}

// Z1: a client fetches a file again and again over one connection, from a server in
// another process on another CPU. An operation is one file. The bytes are checked
// before and after.
func BenchmarkSend(b *testing.B) {
	p := remote(b, benchSizes[len(benchSizes)-1])
	sums := map[int64][sha256.Size]byte{}
	for _, n := range benchSizes {
		sums[n] = MaterialSum(1, n)
	}
	b.Log(results.FactLine("server-cpus", cpu.Format(placed(b).Server)))
	b.Log(results.FactLine("generator-cpus", cpu.Format(placed(b).Generator)))
	for _, way := range Ways() {
		for _, n := range benchSizes {
			b.Run("way="+way.String()+"/size="+FormatSize(n), func(b *testing.B) { benchSend(b, p, way, n, sums[n]) })
		}
	}
}

func benchSend(b *testing.B, p *testenv.Server, way Way, n int64, want [sha256.Size]byte) {
	c, err := DialFileServer(b.Context(), p.Addr())
	require.NoError(b, err)
	defer c.Close()
	verify(b, c, way, n, want)
	allocated, err := p.Runtime(b.Context())
	require.NoError(b, err)
	before := reading(b, p, c)
	b.SetBytes(n)
	b.ResetTimer()
	for range b.N {
		if err := c.Fetch(way, n); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	after := reading(b, p, c)
	allocations, err := p.Runtime(b.Context())
	require.NoError(b, err)
	kib := float64(n) / 1024 * float64(b.N)
	if before.cpu >= 0 && after.cpu >= 0 {
		b.ReportMetric(float64(after.cpu-before.cpu)/kib, "server-cpu-ns/KiB")
	} else {
		b.Log(results.WarningLine("server-cpu-ns/KiB: the server's CPU time cannot be told"))
	}
	// The figures of asking are in these, some hundred in all.
	b.ReportMetric(float64(allocations.Mallocs-allocated.Mallocs)/float64(b.N), "server-allocs/op")
	b.ReportMetric(float64(allocations.AllocBytes-allocated.AllocBytes)/float64(b.N), "server-B/op")
	if d := after.report.FellBack - before.report.FellBack; d > 0 {
		b.Fatalf("%d of %d sends by %v took the path %s, not %s", d, b.N, way, PathReadWrite, after.report.Path)
	}
	if z, was := after.report.ZeroCopy, before.report.ZeroCopy; z != nil && z.Completed > was.Completed {
		b.ReportMetric(100*float64(z.Copied-was.Copied)/float64(z.Completed-was.Completed), "copied-%")
	}
	countCalls(b, p, c, way, n)
	verify(b, c, way, n, want)
}

// countCalls counts the server's system calls in exchanges of their own, as counting
// takes time.
func countCalls(b *testing.B, p *testenv.Server, c *FileClient, way Way, n int64) {
	set, err := p.Counters()
	if err != nil {
		b.Log(results.WarningLine("syscalls/MiB: " + err.Error()))
		return
	}
	defer set.Close()
	from, err := set.Read()
	require.NoError(b, err)
	files := 0
	for begun := time.Now(); files == 0 || time.Since(begun) < countFor; files++ {
		require.NoError(b, c.Fetch(way, n))
	}
	_, _ = blockedCPU(p) // the last events belong to these exchanges
	to, err := set.Read()
	require.NoError(b, err)
	if d := to.Sub(from); d.NoSyscalls == "" {
		b.ReportMetric(float64(d.Syscalls)/(float64(n)/(1<<20)*float64(files)), "syscalls/MiB")
	}
}
