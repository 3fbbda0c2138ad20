package memory

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/testenv"
)

func TestTreeCountsAnonymousMemoryThatWasWrittenTo(t *testing.T) {
	before, err := ReadTree(os.Getpid())
	require.NoError(t, err)
	const size = 32 << 20
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(b)) }()
	mapped, err := ReadTree(os.Getpid())
	require.NoError(t, err)
	assert.Less(t, mapped.Anonymous, before.Anonymous+size/2, "what is only mapped is not there")
	for i := 0; i < size; i += os.Getpagesize() {
		b[i] = 1
	}
	written, err := ReadTree(os.Getpid())
	require.NoError(t, err)
	assert.InDelta(t, size, float64(written.Anonymous)-float64(mapped.Anonymous), size/4)
	assert.Greater(t, written.RSS, written.Anonymous, "the program itself belongs to a file")
	assert.LessOrEqual(t, written.PSS, written.RSS)
}

func TestTreeHoldsDescendants(t *testing.T) {
	alone, err := ReadTree(os.Getpid())
	require.NoError(t, err)
	server, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: "goroutine", Service: "echo", StartTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Kill()) }()
	both, err := ReadTree(os.Getpid())
	require.NoError(t, err)
	child, err := ReadTree(server.PID())
	require.NoError(t, err)
	assert.Equal(t, alone.Processes+1, both.Processes)
	assert.Equal(t, 1, child.Processes)
	assert.GreaterOrEqual(t, both.Anonymous, child.Anonymous)
}

func TestTreeOfNobodyIsAnError(t *testing.T) {
	_, err := ReadTree(1 << 30)
	assert.ErrorContains(t, err, "no such process")
}

func TestRollupIsReadExactly(t *testing.T) {
	rollup := "00400000-7fff00000000 ---p 00000000 00:00 0   [rollup]\nRss:  100 kB\nPss:  50 kB\nPss_Anon: 7 kB\n" +
		"Anonymous:  40 kB\nAnonHugePages:  20 kB\nSwap:   3 kB\nSwapPss: 1 kB\n"
	var tree Tree
	require.NoError(t, tree.add([]byte(rollup)))
	require.NoError(t, tree.add([]byte(rollup)))
	assert.Equal(t, Tree{Processes: 2, RSS: 200 << 10, PSS: 100 << 10, Anonymous: 80 << 10, Huge: 40 << 10, Swap: 6 << 10}, tree)
	for _, bad := range []string{
		"", "Rss: 100 kB\n",
		strings.Replace(rollup, "40 kB", "40 MB", 1),
		strings.Replace(rollup, "40 kB", "-4 kB", 1),
	} {
		assert.Error(t, new(Tree).add([]byte(bad)), "%q", bad)
	}
}

func TestResetLeavesNoConnectionBehind(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("not on %s: %v", address, err)
			continue
		}
		var ends [][2]net.Conn
		for range 2 {
			client, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			server, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, server.SetDeadline(time.Now().Add(time.Minute)))
			ends = append(ends, [2]net.Conn{client, server})
		}
		require.NoError(t, ends[0][0].Close()) // before: ends in the usual way
		require.NoError(t, reset("tcp", l.Addr().String()))
		require.NoError(t, ends[1][0].Close())
		_, err = ends[0][1].Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		_, err = ends[1][1].Read(make([]byte, 1))
		assert.ErrorIs(t, err, unix.ECONNRESET)
		for _, e := range ends {
			require.NoError(t, e[1].Close())
		}
		require.NoError(t, l.Close())
	}
}
