package buffers_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/valyala/bytebufferpool"

	"netbench/buffers"
)

// lender is a pool as its borrower sees it.
type lender struct {
	name string
	make func(b *testing.B) borrow
}

// borrow lends n bytes and says how to give them back. The function costs an allocation
// or so, the same with every pool.
type borrow func(n int) (memory []byte, giveBack func())

// box is what a sync.Pool should hold: a pointer to a slice, not the slice.
type box struct{ memory []byte }

func lenders() []lender {
	return []lender{
		{"classes", func(b *testing.B) borrow {
			p := newPool(b, buffers.PoolOptions{})
			return func(n int) ([]byte, func()) {
				lent := p.Get(n)
				return lent.B[:n], func() { p.Put(lent) }
			}
		}},
		{"sync", func(*testing.B) borrow {
			p := new(sync.Pool)
			return func(n int) ([]byte, func()) {
				lent, ok := p.Get().(*box)
				if !ok || cap(lent.memory) < n {
					lent = &box{make([]byte, n)}
				}
				return lent.memory[:n], func() { p.Put(lent) }
			}
		}},
		{"bytebufferpool", func(*testing.B) borrow {
			p := new(bytebufferpool.Pool)
			return func(n int) ([]byte, func()) {
				lent := p.Get()
				if cap(lent.B) < n {
					lent.B = make([]byte, n)
				}
				lent.B = lent.B[:n] // it learns sizes from the lengths that come back
				return lent.B, func() { p.Put(lent) }
			}
		}},
		{"none", func(*testing.B) borrow {
			return func(n int) ([]byte, func()) { return make([]byte, n), func() {} }
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
	lend := l.make(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			memory, giveBack := lend(sizes[i%len(sizes)])
			for at := 0; at < len(memory); at += 64 {
				memory[at] = byte(i)
			}
			giveBack()
		}
	})
}

// The pool of size classes beside others. An operation is a loan.
func BenchmarkPool(b *testing.B) {
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
	heap := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	runtime.GC()
	runtime.GC()
	before := heap()
	lend := l.make(b)
	back := make([]func(), burst)
	b.ResetTimer()
	for range b.N {
		for i := range back {
			var memory []byte
			memory, back[i] = lend(size)
			memory[0] = 1
		}
		for i, giveBack := range back {
			giveBack()
			back[i] = nil
		}
	}
	b.StopTimer()
	runtime.GC()
	b.ReportMetric(max(0, heap()-before), "kept-1gc-B")
	runtime.GC()
	runtime.GC()
	b.ReportMetric(max(0, heap()-before), "kept-3gc-B")
	runtime.KeepAlive(lend)
}

const burst = 2000

// What pools keep after a burst. An operation is a burst.
func BenchmarkBurst(b *testing.B) {
	for _, l := range lenders() {
		b.Run(fmt.Sprintf("pool=%s/lent=%d/size=32KiB", l.name, burst), func(b *testing.B) { bursting(b, l) })
	}
}
