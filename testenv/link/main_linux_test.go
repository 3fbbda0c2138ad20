package link

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
)

func TestMain(m *testing.M) {
	switch os.Getenv("NETBENCH_TEST_LINK") {
	case "hold":
		hold()
	case "support":
		fmt.Println(Supported())
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// hold makes a link with a program in it, says which, and waits for its end.
func hold() {
	l, err := New(context.Background(), Config{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	sleep := exec.Command("sleep", "600")
	if err := l.A().Start(sleep); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(l.A().namespace.inode, l.B().namespace.inode, sleep.Process.Pid)
	select {}
}

var supported = sync.OnceValue(Supported)

// newLink makes a link for one test, which is closed at its end and left nothing.
func newLink(t *testing.T, c Config) *Link {
	t.Helper()
	if err := supported(); err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	before := descriptors(t)
	l, err := New(context.Background(), c)
	require.NoError(t, err)
	a, b := l.A().namespace.inode, l.B().namespace.inode
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.Eventually(t, func() bool { return !held(t, a) && !held(t, b) && descriptors(t) <= before },
			5*time.Second, 5*time.Millisecond, "a namespace or a descriptor is left")
	})
	return l
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// held tells whether any thread of the machine is in a network namespace.
func held(t *testing.T, inode uint64) bool {
	t.Helper()
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	require.NoError(t, err)
	for _, path := range threads {
		if name, err := os.Readlink(path); err == nil && name == fmt.Sprintf("net:[%d]", inode) {
			return true
		}
	}
	return false
}
