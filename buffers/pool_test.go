package buffers_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
)

func newPool(t testing.TB, o buffers.PoolOptions) *buffers.Pool {
	t.Helper()
	p, err := buffers.NewPool(o)
	require.NoError(t, err)
	return p
}

func TestAPoolLendsEmptyBuffersThatAreLargeEnough(t *testing.T) {
	p := newPool(t, buffers.PoolOptions{MinSize: 512, MaxSize: 4096})
	for _, c := range []struct{ asked, want int }{
		{-1, 512}, {0, 512}, {1, 512}, {512, 512}, {513, 1024}, {4095, 4096}, {4096, 4096},
		{4097, 4097}, {100_000, 100_000}, // larger than any class
	} {
		b := p.Get(c.asked)
		assert.Empty(t, b.B)
		assert.Equal(t, c.want, cap(b.B), "asked for %d", c.asked)
		p.Put(b)
	}
	assert.EqualValues(t, 2, p.Stats().Oversize)
}

func TestAPoolLendsWhatWasUsedLast(t *testing.T) {
	p := newPool(t, buffers.PoolOptions{})
	a, b := p.Get(600), p.Get(600)
	p.Put(a)
	p.Put(b)
	assert.Same(t, b, p.Get(1000))
	assert.Same(t, a, p.Get(1000))
	s := p.Stats()
	assert.EqualValues(t, 2, s.Hits)
	assert.EqualValues(t, 2, s.Misses)
	assert.Zero(t, s.Free)
}

func TestABufferThatGrewComesBackAsItWas(t *testing.T) {
	p := newPool(t, buffers.PoolOptions{MinSize: 512})
	b := p.Get(512)
	b.B = append(b.B, make([]byte, 100_000)...)
	p.Put(b)
	again := p.Get(512)
	require.Same(t, b, again)
	assert.Empty(t, again.B)
	assert.Equal(t, 512, cap(again.B))
}

func TestPuttingABufferBackTwicePanicsAndLendsItOnce(t *testing.T) {
	p := newPool(t, buffers.PoolOptions{})
	b := p.Get(1)
	p.Put(b)
	assert.PanicsWithValue(t, "buffers: a buffer was put back twice", func() { p.Put(b) })
	assert.Equal(t, 1, p.Stats().Free)
	assert.Same(t, b, p.Get(1))
	assert.NotSame(t, b, p.Get(1))
}

func TestAPoolRefusesAnotherPoolsBuffer(t *testing.T) {
	p, other := newPool(t, buffers.PoolOptions{}), newPool(t, buffers.PoolOptions{})
	b := other.Get(1)
	assert.Panics(t, func() { p.Put(b) })
	assert.Panics(t, func() { p.Put(&buffers.Buffer{}) })
	other.Put(b) // it is still its own pool's
}

func TestAPoolNeverKeepsMoreThanItsBound(t *testing.T) {
	for _, o := range []buffers.PoolOptions{
		{}, {Keep: 1}, {MinSize: 64, MaxSize: 64, Keep: 1000}, {MinSize: 1, MaxSize: 1 << 20, Keep: 64 << 10},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			p := newPool(t, o)
			sizes := rand.New(rand.NewPCG(1, 2))
			var lent []*buffers.Buffer
			for range 3000 {
				lent = append(lent, p.Get(1<<sizes.IntN(16)))
			}
			for _, b := range lent {
				p.Put(b)
				require.LessOrEqual(t, p.Stats().FreeBytes, p.Bound())
			}
			s := p.Stats()
			assert.EqualValues(t, 3000, s.Hits+s.Misses+s.Oversize)
			assert.EqualValues(t, s.Misses, uint64(s.Free)+s.Dropped, "each is kept or dropped")
			assert.Positive(t, s.Dropped+s.Oversize)
			p.Release()
			assert.Zero(t, p.Stats().FreeBytes)
		})
	}
}

// What is dropped must be garbage, and what is kept must not be more than Bound: the
// heap says so too.
func TestTheMemoryOfABurstIsGivenBack(t *testing.T) {
	p := newPool(t, buffers.PoolOptions{Keep: 1 << 20})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	burst := make([]*buffers.Buffer, 2000)
	for i := range burst {
		burst[i] = p.Get(32 << 10)
	}
	require.Greater(t, heap(), before+32<<20, "64 MiB are lent")
	for i, b := range burst {
		p.Put(b)
		burst[i] = nil
	}
	assert.Less(t, heap(), before+16<<20, "1 MiB is kept")
	runtime.KeepAlive(burst)
	assert.Equal(t, 32, p.Stats().Free)
}

func TestABufferIsNeverLentTwiceAtOnce(t *testing.T) {
	const borrowers, turns = 8, 4000
	p := newPool(t, buffers.PoolOptions{MinSize: 64, MaxSize: 1024, Keep: 2048})
	var all sync.WaitGroup
	for who := range uint64(borrowers) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(who, 3))
			held := make([]*buffers.Buffer, 0, 4)
			check := func(b *buffers.Buffer) bool {
				whole := b.B[:cap(b.B)]
				return binary.LittleEndian.Uint64(whole) == who && binary.LittleEndian.Uint64(whole[len(whole)-8:]) == who
			}
			for range turns {
				if len(held) == cap(held) {
					last := len(held) - 1
					if !assert.True(t, check(held[last]), "somebody else wrote to what is lent to me") {
						return
					}
					p.Put(held[last])
					held = held[:last]
					continue
				}
				b := p.Get(random.IntN(1500) + 8)
				whole := b.B[:cap(b.B)]
				binary.LittleEndian.PutUint64(whole, who)
				binary.LittleEndian.PutUint64(whole[len(whole)-8:], who)
				held = append(held, b)
				if random.IntN(8) == 0 {
					runtime.Gosched()
				}
				for random.IntN(2) == 0 && len(held) > 0 {
					if !assert.True(t, check(held[0]), "somebody else wrote to what is lent to me") {
						return
					}
					p.Put(held[0])
					held = append(held[:0], held[1:]...)
				}
			}
			for _, b := range held {
				p.Put(b)
			}
		})
	}
	all.Wait()
	s := p.Stats()
	assert.EqualValues(t, s.Misses, uint64(s.Free)+s.Dropped, "everything came back")
	assert.LessOrEqual(t, s.FreeBytes, p.Bound())
}

func TestNewPoolNamesTheOptionThatMakesNoSense(t *testing.T) {
	for want, o := range map[string]buffers.PoolOptions{
		"MinSize is 3":          {MinSize: 3},
		"MinSize is -1":         {MinSize: -1},
		"MaxSize is 1000":       {MaxSize: 1000},
		"MaxSize is 64,":        {MinSize: 128, MaxSize: 64},
		"MaxSize is 2097152000": {MaxSize: 2000 << 20},
		"Keep is -1":            {Keep: -1},
	} {
		_, err := buffers.NewPool(o)
		assert.ErrorContains(t, err, want)
	}
}

// FuzzPool takes and gives back as the input says, and looks after each step
// whether two buffers that are lent share memory.
func FuzzPool(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 1, 0, 1, 0, 2, 0})
	f.Add([]byte{0, 255, 0, 255, 2, 0, 0, 255, 1, 1, 2, 0, 3, 0, 0, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		steps = steps[:min(len(steps), 400)]
		p := newPool(t, buffers.PoolOptions{MinSize: 16, MaxSize: 256, Keep: 512})
		var lent, back []*buffers.Buffer
		for ; len(steps) >= 2; steps = steps[2:] {
			switch arg := int(steps[1]); steps[0] % 4 {
			case 0: // borrow
				n := 2 * arg // also more than the largest class
				b := p.Get(n)
				require.GreaterOrEqual(t, cap(b.B), n)
				require.Empty(t, b.B)
				for _, other := range lent {
					require.False(t, overlap(b.B, other.B), "two that are lent share memory")
				}
				lent = append(lent, b)
			case 1: // give back
				if len(lent) > 0 {
					i := arg % len(lent)
					p.Put(lent[i])
					back = append(back, lent[i])
					lent = append(lent[:i], lent[i+1:]...)
				}
			case 2: // give back what is not lent
				for _, b := range back {
					if !slices.Contains(lent, b) {
						require.Panics(t, func() { p.Put(b) })
						break
					}
				}
			case 3:
				p.Release()
			}
			require.LessOrEqual(t, p.Stats().FreeBytes, p.Bound())
		}
	})
}

// overlap tells whether two slices, with their capacity, have a byte in common.
func overlap(a, b []byte) bool {
	if cap(a) == 0 || cap(b) == 0 {
		return false
	}
	from := func(s []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }
	return from(a) < from(b)+uintptr(cap(b)) && from(b) < from(a)+uintptr(cap(a))
}
