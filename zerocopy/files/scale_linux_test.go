//go:build ci

package files_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/zerocopy/files"
)

func init() {
	operations["memory"] = func() (any, error) {
		debug.FreeOSMemory()
		self, err := procfs.Self()
		if err != nil {
			return nil, err
		}
		return residentOf(self)
	}
}

// residentOf is the resident memory of a process in bytes.
func residentOf(p procfs.Proc) (uint64, error) {
	maps, err := p.ProcSMapsRollup()
	return maps.Rss, err
}

// block is what uploads consist of.
var block = []byte(noise(1 << 20))

// repeated reads n bytes of blocks.
func repeated(n int) io.Reader {
	return io.LimitReader(&cycle{}, int64(n))
}

type cycle struct{ at int }

func (c *cycle) Read(p []byte) (int, error) {
	n := copy(p, block[c.at:])
	c.at = (c.at + n) % len(block)
	return n, nil
}

// send uploads n bytes, and returns the answer.
func send(ctx context.Context, client *http.Client, addr, name string, n int) (files.Stored, error) {
	head := fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=%q\r\n\r\n", name)
	const end = "\r\n--b--\r\n"
	body := io.MultiReader(strings.NewReader(head), repeated(n), strings.NewReader(end))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/upload", body)
	if err != nil {
		return files.Stored{}, err
	}
	r.ContentLength = int64(len(head) + n + len(end))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	reply, err := client.Do(r)
	if err != nil {
		return files.Stored{}, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return files.Stored{}, err
	}
	var stored files.Stored
	if reply.StatusCode != http.StatusCreated {
		return stored, fmt.Errorf("%s: %s", reply.Status, text)
	}
	return stored, json.Unmarshal(text, &stored)
}

func TestScaleFiftyUploadsAtOnceStayBelow16MiBAboveIdle(t *testing.T) {
	const uploads, size, most = 50, 100 << 20, 16 << 20
	dir := t.TempDir()
	var disk unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &disk))
	require.Greater(t, disk.Bavail*uint64(disk.Bsize), uint64(6<<30), "room for the uploads in %s (TMPDIR moves it)", dir)
	child, addr := startChild(t, files.Config{Dir: dir})
	transport := &http.Transport{DisableKeepAlives: true, WriteBufferSize: 64 << 10}
	client := &http.Client{Transport: transport}
	_, err := send(t.Context(), client, addr, "first", size) // so that the program is in memory
	require.NoError(t, err)
	var idle uint64
	require.NoError(t, child.Call(t.Context(), "memory", nil, &idle))
	sum := sha256.New()
	_, err = io.Copy(sum, repeated(size))
	require.NoError(t, err)
	want := hex.EncodeToString(sum.Sum(nil))

	server, err := procfs.NewProc(child.PID())
	require.NoError(t, err)
	var peak uint64
	var together int // temporary files seen at once
	var failed error
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-done:
				return
			case <-look.C:
				now, err := residentOf(server)
				if err != nil {
					failed = err
					return
				}
				peak = max(peak, now)
				begun, _ := filepath.Glob(filepath.Join(dir, ".netbench-upload-*")) // the pattern is a good one
				together = max(together, len(begun))
			}
		}
	}()
	var under sync.WaitGroup
	errs := make(chan error, uploads)
	for i := range uploads {
		under.Go(func() {
			stored, err := send(t.Context(), client, addr, fmt.Sprintf("u%02d", i), size)
			if err == nil && (stored.SHA256 != want || stored.Size != size) {
				err = fmt.Errorf("upload %d was stored as %+v", i, stored)
			}
			errs <- err
		})
	}
	under.Wait()
	close(done)
	<-watched
	require.NoError(t, failed)
	for range uploads {
		require.NoError(t, <-errs)
	}
	assert.Equal(t, uploads, together, "all at once")
	t.Logf("idle %.1f MiB, peak %.1f MiB above", float64(idle)/(1<<20), (float64(peak)-float64(idle))/(1<<20))
	assert.Less(t, float64(peak)-float64(idle), float64(most))
	assert.Empty(t, hidden(t, dir))
	there, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, there, uploads+1)
}

// Servers are killed while files are stored anew under the same names. What can be
// seen then is whole, each time.
func TestScaleKillsAmongUploadsLeaveWholeFilesAlone(t *testing.T) {
	const rounds, clients = 10, 8
	sizes := []int{1, 100_000, 3 << 20, 10 << 20}
	whole := map[int][sha256.Size]byte{}
	for _, n := range sizes {
		content, err := io.ReadAll(repeated(n))
		require.NoError(t, err)
		whole[n] = sha256.Sum256(content)
	}
	dir := t.TempDir()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, WriteBufferSize: 64 << 10}}
	abandoned := 0
	for round := range rounds {
		child, addr := startChild(t, files.Config{Dir: dir})
		require.Empty(t, hidden(t, dir), "the start has removed what the last one left")
		var stored atomic.Int64
		var under sync.WaitGroup
		for i := range clients {
			under.Go(func() {
				for n := i; ; n++ {
					if _, err := send(t.Context(), client, addr, fmt.Sprintf("f%d", n%6), sizes[n%len(sizes)]); err != nil {
						return // it was killed
					}
					stored.Add(1)
				}
			})
		}
		enough := int64(10 + 3*round) // another moment in each round
		assert.Eventually(t, func() bool { return stored.Load() >= enough }, time.Minute, time.Millisecond)
		assert.NoError(t, child.Kill())
		under.Wait()
		abandoned += len(hidden(t, dir))
		for n := range 6 {
			content, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("f%d", n)))
			if os.IsNotExist(err) {
				continue
			}
			require.NoError(t, err)
			want, ok := whole[len(content)]
			require.True(t, ok, "f%d has %d bytes", n, len(content))
			require.True(t, want == sha256.Sum256(content), "f%d has other bytes", n)
		}
	}
	t.Logf("%d uploads were abandoned in %d kills", abandoned, rounds)
	assert.NotZero(t, abandoned, "no kill came in the middle of an upload")
}

func TestScaleAHundredSlowReadersCostLessThan64KiBEach(t *testing.T) {
	const readers, rate, watch, most = 100, 1_000_000, 30 * time.Second, 64 << 10
	dir := t.TempDir()
	name := filepath.Join(dir, "a.bin")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	require.NoError(t, os.Truncate(name, 1<<30))
	child, addr := startChild(t, files.Config{Dir: dir})
	warm := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := warm.Get("http://" + addr + "/a.bin")
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, reply.Body)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	require.EqualValues(t, 1<<30, n)
	var idle uint64
	require.NoError(t, child.Call(t.Context(), "memory", nil, &idle))

	ctx, stop := context.WithTimeout(t.Context(), watch)
	defer stop()
	var under sync.WaitGroup
	defer under.Wait()
	var got [readers]atomic.Int64
	errs := make(chan error, readers)
	for i := range readers {
		nc := get(t, addr, "/a.bin") // a small receive buffer: the server is what waits
		under.Go(func() {
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for begun := time.Now(); ; {
				select {
				case <-ctx.Done():
					errs <- nil
					return
				case <-pace.C:
				}
				due := int64(time.Since(begun).Seconds()*rate) - got[i].Load()
				n, err := io.CopyN(io.Discard, nc, max(due, 0))
				got[i].Add(n)
				if err != nil {
					errs <- fmt.Errorf("reader %d after %d bytes: %w", i, got[i].Load(), err)
					return
				}
			}
		})
	}
	// From outside and with its garbage, which a server that is asked would collect.
	server, err := procfs.NewProc(child.PID())
	require.NoError(t, err)
	var peak uint64
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-look.C:
			now, err := residentOf(server)
			require.NoError(t, err)
			peak = max(peak, now)
		}
	}
	var held uint64 // when the garbage is collected
	require.NoError(t, child.Call(t.Context(), "memory", nil, &held))
	for range readers {
		require.NoError(t, <-errs)
	}
	least := got[0].Load()
	for i := range got {
		least = min(least, got[i].Load())
	}
	each := (float64(peak) - float64(idle)) / readers
	t.Logf("%.1f KiB of user memory for each of %d readers, %.1f KiB without garbage; the slowest got %.2f MB/s",
		each/1024, readers, (float64(held)-float64(idle))/readers/1024, float64(least)/watch.Seconds()/1e6)
	assert.Less(t, each, float64(most))
	assert.Greater(t, float64(least), 0.8*rate*watch.Seconds(), "each got its bytes")
}
