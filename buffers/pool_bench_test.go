package buffers_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/bytebufferpool"

	"netbench/buffers"
	"netbench/internal/cpu"
	"netbench/testenv"
)

// lender is a pool as its borrower sees it, or none.
type lender struct {
	name string
	make func(b *testing.B) pooling
}

// pooling lends n bytes, with a token by which they are given back. A token is a pointer or
// nothing, so that it does not allocate: what is counted is the pool's.
type pooling struct {
	lend     func(n int) (memory []byte, token any)
	giveBack func(token any)
}

// box is what a sync.Pool should hold: a pointer to a slice, not the slice.
type box struct{ memory []byte }

func lenders() []lender {
	return []lender{
		{"classes", func(b *testing.B) pooling {
			p := newPool(b, buffers.PoolOptions{})
			return pooling{func(n int) ([]byte, any) {
				lent := p.Get(n)
				return lent.B[:n], lent
			}, func(token any) { p.Put(token.(*buffers.Buffer)) }}
		}},
		{"sync", func(*testing.B) pooling {
			p := new(sync.Pool)
			return pooling{func(n int) ([]byte, any) {
				lent, ok := p.Get().(*box)
				if !ok || cap(lent.memory) < n {
					lent = &box{make([]byte, n)}
				}
				return lent.memory[:n], lent
			}, p.Put}
		}},
		{"bytebufferpool", func(*testing.B) pooling {
			p := new(bytebufferpool.Pool)
			return pooling{func(n int) ([]byte, any) {
				lent := p.Get()
				if cap(lent.B) < n {
					lent.B = make([]byte, n)
				}
				lent.B = lent.B[:n] // it learns sizes from the lengths that come back
				return lent.B, lent
			}, func(token any) { p.Put(token.(*bytebufferpool.ByteBuffer)) }}
		}},
		{"none", func(*testing.B) pooling {
			return pooling{func(n int) ([]byte, any) { return make([]byte, n), nil }, func(any) {}}
		}},
	}
}

// mixes are the sizes that are borrowed in turn.
var mixes = map[string][]int{
	"4KiB":  {4 << 10},
	"mixed": {200, 4 << 10, 700, 64 << 10, 200, 1500, 16 << 10, 300},
}

// borrowing borrows, writes a byte to each cache line, and gives back, in several
// goroutines at once.
func borrowing(b *testing.B, l lender, sizes []int) {
	pool := l.make(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			memory, token := pool.lend(sizes[i%len(sizes)])
			for at := 0; at < len(memory); at += 64 {
				memory[at] = byte(i)
			}
			pool.giveBack(token)
		}
	})
}

// everywhere moves this process to all CPUs that it was started on, until the end of a test
// or benchmark: servers in processes of their own leave it a part, and borrowers who never
// run at once do not get into each other's way.
func everywhere(tb testing.TB) {
	tb.Helper()
	all, err := cpu.Initial()
	if err != nil {
		return // not known here, so that nothing was moved
	}
	where, err := place()
	require.NoError(tb, err)
	require.NoError(tb, testenv.PinSelf(all))
	tb.Cleanup(func() { require.NoError(tb, testenv.PinSelf(where.Generator)) })
}

// The pool of size classes beside others. An operation is a loan.
func BenchmarkPool(b *testing.B) {
	everywhere(b)
	for _, mix := range []string{"4KiB", "mixed"} {
		for _, l := range lenders() {
			b.Run("pool="+l.name+"/size="+mix, func(b *testing.B) { borrowing(b, l, mixes[mix]) })
		}
	}
}

// bursting lends 2,000 buffers of 32 KiB at once, takes them back, and looks at what the
// heap still holds after one collection and after three.
func bursting(b *testing.B, l lender) {
	const size = 32 << 10
	type loan struct {
		memory []byte
		token  any
	}
	lent := make([]loan, burst)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	runtime.GC()
	runtime.GC()
	before := heap()
	pool := l.make(b)
	b.ResetTimer()
	for range b.N {
		for i := range lent {
			lent[i].memory, lent[i].token = pool.lend(size)
			lent[i].memory[0] = 1
		}
		for i := range lent {
			pool.giveBack(lent[i].token)
			lent[i] = loan{}
		}
	}
	b.StopTimer()
	runtime.GC()
	b.ReportMetric(max(0, heap()-before), "kept-1gc-B")
	runtime.GC()
	runtime.GC()
	b.ReportMetric(max(0, heap()-before), "kept-3gc-B")
	runtime.KeepAlive(pool)
	runtime.KeepAlive(lent)
}

const burst = 2000

// What pools keep after a burst. An operation is a burst.
func BenchmarkBurst(b *testing.B) {
	everywhere(b)
	for _, l := range lenders() {
		b.Run(fmt.Sprintf("pool=%s/lent=%d/size=32KiB", l.name, burst), func(b *testing.B) { bursting(b, l) })
	}
}
