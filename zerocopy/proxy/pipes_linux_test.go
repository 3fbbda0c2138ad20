package proxy

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestPoolKeepsABoundedNumberOfPipes(t *testing.T) {
	p, err := newPipePool(2, 0)
	require.NoError(t, err)
	defer p.close()
	var out []*pipe
	for range 5 {
		x, err := p.get()
		require.NoError(t, err)
		out = append(out, x)
	}
	assert.Equal(t, PipeStats{Open: 5, Made: 5, Bytes: 5 * 64 << 10}, p.stats())
	for _, x := range out {
		p.put(x)
	}
	assert.Equal(t, PipeStats{Open: 2, Idle: 2, Made: 5, Bytes: 2 * 64 << 10}, p.stats())
}

func TestPoolHandsOutEachPipeOnceAndTheLastBackFirst(t *testing.T) {
	p, err := newPipePool(8, 0)
	require.NoError(t, err)
	defer p.close()
	a, err := p.get()
	require.NoError(t, err)
	b, err := p.get()
	require.NoError(t, err)
	assert.NotEqual(t, a.r, b.r)
	p.put(a)
	p.put(b)
	again, err := p.get()
	require.NoError(t, err)
	assert.Same(t, b, again)
	p.put(again)
}

func TestPoolThatIsClosedKeepsNothing(t *testing.T) {
	p, err := newPipePool(8, 0)
	require.NoError(t, err)
	x, err := p.get()
	require.NoError(t, err)
	p.close()
	assert.Equal(t, 1, p.stats().Open, "the one that is out")
	p.put(x)
	assert.Zero(t, p.stats().Open)
	_, err = unix.FcntlInt(uintptr(x.r), unix.F_GETFD, 0)
	assert.ErrorIs(t, err, unix.EBADF)
	p.close()
}

func TestPipesAreAsLargeAsAskedForOrSayWhyNot(t *testing.T) {
	for asked, want := range map[int]int{1: 64 << 10, 64 << 10: 64 << 10, 100 << 10: 128 << 10, 1 << 20: 1 << 20} {
		x, short, err := makePipe(asked)
		require.NoError(t, err)
		assert.Empty(t, short)
		assert.Equal(t, want, x.capacity)
		require.NoError(t, os.NewSyscallError("close", unix.Close(x.r)))
		require.NoError(t, os.NewSyscallError("close", unix.Close(x.w)))
	}
	x, short, err := makePipe(1<<31 + 1) // more than any kernel gives
	require.NoError(t, err)
	assert.Contains(t, short, "fs.pipe-max-size")
	assert.Equal(t, 64<<10, x.capacity)
	require.NoError(t, unix.Close(x.r))
	require.NoError(t, unix.Close(x.w))
}
