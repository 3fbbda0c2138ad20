package files_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/internal/counters"
	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/zerocopy/files"
)

func init() {
	operations["allocations"] = func() (any, error) {
		// Not runtime/metrics, which does not know of what a processor has allocated
		// from its own cache since that was filled: of hundreds it tells a few.
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.Mallocs, nil
	}
}

// What a download costs the server: sent by the kernel, and through memory, which is
// what middleware without ReadFrom makes of it.
func BenchmarkDownload(b *testing.B) {
	dir, client := b.TempDir(), &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, size := range []int{64 << 10, 1 << 20, 10 << 20} {
		content := noise(size)
		want := sha256.Sum256([]byte(content))
		name := fmt.Sprintf("%d.bin", size)
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		for _, way := range []string{"sendfile", "copy"} {
			b.Run(fmt.Sprintf("way=%s/size=%s", way, binary(size)), func(b *testing.B) {
				child, addr := startChildOf(b, childSpec{Config: files.Config{Dir: dir}, Hide: way == "copy"})
				get := func(into io.Writer) error {
					reply, err := client.Get("http://" + addr + "/" + name)
					if err != nil {
						return err
					}
					n, err := io.Copy(into, reply.Body)
					if err == nil && (reply.StatusCode != http.StatusOK || n != int64(size)) {
						err = fmt.Errorf("%s with %d bytes", reply.Status, n)
					}
					reply.Body.Close()
					return err
				}
				sum := sha256.New()
				require.NoError(b, get(sum))
				require.Equal(b, want, [32]byte(sum.Sum(nil)), "other bytes")
				measure(b, child, size, func() error { return get(io.Discard) })
			})
		}
	}
}

// What an upload costs the server, by the size of a block. Most of it is the hashes'.
func BenchmarkUpload(b *testing.B) {
	const size = 10 << 20
	content := noise(size)
	kind, body := form(b, file{"a.bin", content})
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()
	for _, block := range []int{16 << 10, 64 << 10, 128 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("block=%s/size=%s", binary(block), binary(size)), func(b *testing.B) {
			child, addr := startChildOf(b, childSpec{Config: files.Config{Dir: b.TempDir(), Buffer: block}})
			measure(b, child, size, func() error {
				reply, err := client.Post("http://"+addr+"/upload", kind, bytes.NewReader(body.Bytes()))
				if err != nil {
					return err
				}
				defer reply.Body.Close()
				text, err := io.ReadAll(reply.Body)
				if err == nil && !strings.Contains(string(text), sum) { // what the server has hashed
					err = fmt.Errorf("%s: %s", reply.Status, text)
				}
				return err
			})
		})
	}
}

// measure repeats an operation that moves size bytes and reports its costs. System
// calls are counted afterwards, as counting takes time.
func measure(b *testing.B, child *proc.Child, size int, operation func() error) {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("the server's costs are told by Linux alone")
	}
	require.NoError(b, operation()) // the connection is there from here on
	allocated := func() (n uint64) {
		require.NoError(b, child.Call(b.Context(), "allocations", nil, &n))
		return n
	}
	allocs := allocated()
	cpu, err := ptree.CPUTime(child.PID())
	require.NoError(b, err)
	b.SetBytes(int64(size))
	for b.Loop() {
		if err := operation(); err != nil {
			b.Fatal(err)
		}
	}
	after, err := ptree.CPUTime(child.PID())
	require.NoError(b, err)
	b.ReportMetric(float64(after-cpu)/float64(b.N)/(float64(size)/1024), "server-cpu-ns/KiB")
	b.ReportMetric(float64(allocated()-allocs)/float64(b.N), "server-allocs/op")

	set, err := counters.Open(child.PID())
	if err != nil {
		b.Log("system calls are not counted:", err)
		return
	}
	defer set.Close()
	before, err := set.Read()
	require.NoError(b, err)
	const times = 3
	for range times {
		require.NoError(b, operation())
	}
	counted, err := set.Read()
	require.NoError(b, err)
	if c := counted.Sub(before); c.NoSyscalls == "" {
		b.ReportMetric(float64(c.Syscalls)/times/(float64(size)/(1<<20)), "syscalls/MiB")
	}
}

// binary is a size as names have it.
func binary(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}
