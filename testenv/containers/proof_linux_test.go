//go:build proof

package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/internal/proof"
	"netbench/testenv/services"
)

// What is asked of services: to be ready, and to be gone after their program was
// killed, within these times.
const (
	readyBinary    = 5 * time.Second
	readyContainer = 15 * time.Second
	goneAfterKill  = 2 * time.Second
	proofStarts    = 10
)

// TestProofServicesAreReadyInTimeAndGoneWithTheirProgram starts each service several
// times by a program of its own, which is killed then.
func TestProofServicesAreReadyInTimeAndGoneWithTheirProgram(t *testing.T) {
	image(t, EnvPostgresImage, DefaultPostgresImage)
	image(t, EnvRedisImage, DefaultRedisImage)
	adopt(t)
	doc := proof.Begin(t, "How soon services are ready, and gone", "./testenv/containers")
	fmt.Fprintf(doc, "Each was started %d times by a program of its own. Ready counts from the start of that\nprogram; gone from its SIGKILL until none of its processes, containers and directories\nis left.\n\n", proofStarts)
	fmt.Fprintf(doc, "| service | ready: least, median, most | at most | gone: least, median, most | at most |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		what   string
		rung   services.Rung
		within time.Duration
	}{
		{"postgres, local", services.LocalBinary, readyBinary}, {"redis, local", services.LocalBinary, readyBinary},
		{"postgres", services.Container, readyContainer}, {"redis", services.Container, readyContainer},
		{"server", "", readyContainer},
	} {
		var ready, gone []time.Duration
		for range proofStarts {
			// Not the test's: unprivileged users cannot enter that.
			temporary, err := os.MkdirTemp("", "nb-")
			require.NoError(t, err)
			require.NoError(t, os.Chmod(temporary, 0o711))
			defer os.RemoveAll(temporary)
			began := time.Now()
			parent, err := proc.Start(t.Context(), proc.Options{Role: "user", Spec: row.what, StartTimeout: 2 * time.Minute, Env: []string{"TMPDIR=" + temporary}})
			require.NoError(t, err, row.what)
			ready = append(ready, time.Since(began))
			var u used
			require.NoError(t, json.Unmarshal(parent.Info(), &u))
			require.Equal(t, row.rung, u.Rung, row.what)
			began = time.Now()
			require.NoError(t, unix.Kill(u.Tree[0], unix.SIGKILL))
			require.Eventually(t, func() bool { return nothingOf(t, u.Tree, temporary) }, time.Minute, time.Millisecond, row.what)
			gone = append(gone, time.Since(began))
			<-parent.Done()
		}
		slices.Sort(ready)
		slices.Sort(gone)
		span := func(all []time.Duration) string {
			return fmt.Sprintf("%.2f, %.2f, %.2f s", all[0].Seconds(), all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
		}
		name := row.what
		if row.within == readyContainer {
			name += ", container"
		}
		fmt.Fprintf(doc, "| %s | %s | %v | %s | %v |\n", name, span(ready), row.within, span(gone), goneAfterKill)
		assert.LessOrEqual(t, ready[len(ready)-1], row.within, name)
		assert.LessOrEqual(t, gone[len(gone)-1], goneAfterKill, name)
	}
	doc.Save(t, filepath.Join("..", "..", "docs", "services.md"))
}

// nothingOf tells whether neither processes, but for the first, which others reap, nor
// containers nor files of a program are left.
func nothingOf(t *testing.T, tree []int, temporary string) bool {
	t.Helper()
	for _, pid := range tree[1:] {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // some are adopted here
		if !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			return false
		}
	}
	files, err := os.ReadDir(temporary)
	require.NoError(t, err)
	return len(files) == 0 && len(containers(t, tree[0])) == 0
}
