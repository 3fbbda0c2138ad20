package zerocopy

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notice is what the kernel writes for a range.
func notice(c completion) []byte {
	b := make([]byte, extendedErrSize)
	b[4] = originZeroCopy
	if c.copied {
		b[6] = codeCopied
	}
	binary.NativeEndian.PutUint32(b[8:], c.lo)
	binary.NativeEndian.PutUint32(b[12:], c.hi)
	return b
}

func TestNoticesAreReadAsTheKernelWritesThem(t *testing.T) {
	for _, want := range []completion{{0, 0, false}, {3, 9, true}, {math.MaxUint32, 2, true}} {
		got, ok, err := parseNotice(notice(want))
		require.NoError(t, err)
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	other := notice(completion{1, 2, false})
	other[4] = 4 // a time stamp
	_, ok, err := parseNotice(other)
	require.NoError(t, err)
	assert.False(t, ok, "a notice about something else is none of ours")

	_, _, err = parseNotice(other[:15])
	assert.Error(t, err, "a notice that was cut")
	failed := notice(completion{1, 2, false})
	binary.NativeEndian.PutUint32(failed, 5)
	_, _, err = parseNotice(failed)
	assert.Error(t, err, "a notice of an error")
}

func FuzzParseNotice(f *testing.F) {
	f.Add(notice(completion{1, 2, true}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok, err := parseNotice(b)
		if !ok || err != nil {
			return
		}
		back, ok, err := parseNotice(notice(c))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c, back)
	})
}

// from makes a ledger whose sends begin with a number.
func from(first uint32, sends ...int) *ledger {
	l := newLedger(8)
	l.first = first
	for _, buffer := range sends {
		l.sent(buffer)
	}
	return l
}

func TestABufferIsFreeWhenItsLastSendIsComplete(t *testing.T) {
	type step struct {
		lo, hi  uint32
		free    []int
		inOrder bool
		left    int
	}
	for _, c := range []struct {
		name  string
		first uint32
		sends []int
		steps []step
	}{
		{"one by one", 0, []int{0, 1, 2}, []step{
			{0, 0, []int{0}, true, 2}, {1, 1, []int{1}, true, 1}, {2, 2, []int{2}, true, 0},
		}},
		{"merged", 0, []int{0, 1, 2}, []step{{0, 2, []int{0, 1, 2}, true, 0}}},
		{"a buffer of three sends", 0, []int{0, 0, 0, 1}, []step{
			{0, 1, nil, true, 2}, {2, 3, []int{0, 1}, true, 0},
		}},
		{"out of order", 0, []int{0, 1, 2, 3}, []step{
			{2, 3, []int{2, 3}, false, 4}, {0, 0, []int{0}, true, 3}, {1, 1, []int{1}, true, 0},
		}},
		{"out of order within a buffer", 0, []int{0, 0, 1}, []step{
			{1, 2, []int{1}, false, 3}, {0, 0, []int{0}, true, 0},
		}},
		{"over the end of the numbers", math.MaxUint32 - 1, []int{0, 1, 2, 3}, []step{
			{math.MaxUint32, 0, []int{1, 2}, false, 4}, {math.MaxUint32 - 1, math.MaxUint32 - 1, []int{0}, true, 1}, {1, 1, []int{3}, true, 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := from(c.first, c.sends...)
			for i, s := range c.steps {
				var free []int
				inOrder, err := l.complete(completion{lo: s.lo, hi: s.hi}, func(b int) { free = append(free, b) })
				require.NoError(t, err, "step %d", i)
				assert.Equal(t, s.free, free, "step %d", i)
				assert.Equal(t, s.inOrder, inOrder, "step %d", i)
				assert.Equal(t, s.left, l.underWay(), "step %d", i)
			}
		})
	}
}

func TestABufferThatIsStillBeingSentIsNotFree(t *testing.T) {
	l := newLedger(1)
	l.hold(0)
	l.sent(0)
	_, err := l.complete(completion{0, 0, false}, func(int) { assert.Fail(t, "freed while it is being sent") })
	require.NoError(t, err)
	assert.True(t, l.release(0))
}

func TestCompletionsOfWhatIsNotUnderWayAreErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		lo, hi uint32
	}{
		{"before the first", 9, 9}, {"across the first", 9, 11}, {"behind the last", 14, 14}, {"across the last", 12, 14},
		{"again", 11, 11}, {"across what is complete", 10, 12}, {"backwards", 12, 10}, {"all numbers", 10, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := from(10, 0, 1, 2, 3)
			_, err := l.complete(completion{11, 11, false}, func(int) {})
			require.NoError(t, err)
			_, err = l.complete(completion{c.lo, c.hi, false}, func(int) { assert.Fail(t, "a buffer was freed") })
			assert.Error(t, err)
			assert.Equal(t, 4, l.underWay(), "nothing is entered of a wrong range")
		})
	}
}

// fakeQueue is the kernel's error queue: a range is merged with the one before if it
// goes on where that ends, and it keeps that one's flag.
type fakeQueue struct{ notices []completion }

func (q *fakeQueue) complete(c completion) {
	if last := len(q.notices) - 1; last >= 0 && q.notices[last].hi+1 == c.lo {
		q.notices[last].hi = c.hi
		return
	}
	q.notices = append(q.notices, c)
}

// The kernel completes sends in any order and merges what it can; whatever comes,
// each buffer becomes free once, and only after the last of its sends.
func TestCompletionsInAnyOrderFreeEachBufferOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const buffers = 12
		l := newLedger(buffers)
		l.first = math.MaxUint32 - uint32(random.IntN(40))
		number := l.first
		open := map[uint32]int{}         // sends under way by number
		sends := make([]int, buffers)    // of a buffer that are under way
		freed := make([]int, buffers)    // times
		finished := make([]int, buffers) // times that the last send was complete
		var queue fakeQueue
		merged, late := 0, 0
		for range 60 {
			for range 1 + random.IntN(6) {
				buffer := random.IntN(buffers)
				l.sent(buffer)
				open[number] = buffer
				sends[buffer]++
				number++
			}
			var done []uint32
			for n := range open { // in a random order
				if random.IntN(3) > 0 {
					done = append(done, n)
				}
			}
			if random.IntN(2) == 0 { // mostly they are in order
				for i := range done {
					for j := i; j > 0 && done[j]-l.first < done[j-1]-l.first; j-- {
						done[j], done[j-1] = done[j-1], done[j]
					}
				}
			}
			for _, n := range done {
				queue.complete(completion{lo: n, hi: n})
			}
			merged += len(done) - len(queue.notices)
			for _, want := range queue.notices {
				c, ok, err := parseNotice(notice(want))
				require.NoError(t, err)
				require.True(t, ok)
				for n := c.lo; ; n++ {
					buffer := open[n]
					delete(open, n)
					if sends[buffer]--; sends[buffer] == 0 {
						finished[buffer]++
					}
					if n == c.hi {
						break
					}
				}
				inOrder, err := l.complete(c, func(b int) { freed[b]++ })
				require.NoError(t, err)
				if !inOrder {
					late++
				}
			}
			queue.notices = nil
			require.Equal(t, finished, freed)
		}
		require.Positive(t, merged)
		require.Positive(t, late)
		for n := range open {
			_, err := l.complete(completion{lo: n, hi: n}, func(int) {})
			require.NoError(t, err)
		}
		require.Zero(t, l.underWay())
		require.Less(t, cap(l.flights), 1000, "what is complete does not pile up")
	}
}
