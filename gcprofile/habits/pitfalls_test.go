package habits

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alone makes what a pool hands out predictable: one processor, so that nothing is put
// where another one would not find it, and no collection that is not asked for.
func alone(t *testing.T) {
	t.Helper()
	procs, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
	})
}

// forgets skips a test that cannot be held where the pool drops a part at random.
func forgets(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("with the race detector sync.Pool forgets a part")
	}
}

// A slice is three words, which do not fit into an interface: each Put copies them to
// the heap. A pointer fits.
func TestASlicePutByValueAllocates(t *testing.T) {
	forgets(t)
	alone(t)
	byValue := sync.Pool{New: func() any { return make([]byte, 0, BufferSize) }}
	value := testing.AllocsPerRun(1000, func() {
		b := byValue.Get().([]byte)
		b = append(b[:0], "something"...)
		//lint:ignore SA6002 this is what is shown
		byValue.Put(b)
	})
	var pool Bytes
	pointer := testing.AllocsPerRun(1000, func() {
		b := pool.Get()
		*b = append(*b, "something"...)
		pool.Put(b)
	})
	var buffers Buffers
	buffer := testing.AllocsPerRun(1000, func() {
		b := buffers.Get()
		b.WriteString("something")
		buffers.Put(b)
	})
	assert.Equal(t, 1.0, value, "a slice by value")
	assert.Equal(t, 0.0, pointer, "a pointer to a slice")
	assert.Equal(t, 0.0, buffer, "a *bytes.Buffer")
}

// huge is the size of a message that comes once.
const huge = 32 << 20

// keptAfter is how much more there is on the heap than before, after so many
// collections, between which the pool is used, or not.
func keptAfter(t *testing.T, limit, collections int, used bool) int64 {
	t.Helper()
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	pool := &Bytes{Max: limit}
	for range 3 {
		runtime.GC() // what another pool has left goes in two
	}
	before := heap()
	b := pool.Get()
	*b = append(*b, make([]byte, huge)...)
	pool.Put(b)
	b = nil
	for range collections {
		runtime.GC()
		if used {
			b := pool.Get()
			*b = append(*b, "a short message"...)
			pool.Put(b)
		}
	}
	kept := heap() - before
	runtime.KeepAlive(pool)
	return kept
}

// A pool passes what it holds to its victim cache at a collection, and drops it at the
// next one, unless it was used in between. So under load a buffer that one message has
// made huge is kept for ever, for messages of fifteen bytes.
func TestAHugeBufferIsKeptForEverUnlessThePoolHasALimit(t *testing.T) {
	forgets(t)
	for _, c := range []struct {
		name        string
		limit       int
		collections int
		used, kept  bool
	}{
		{"no limit, one collection: in the victim cache", -1, 1, false, true},
		{"no limit, two collections: gone if not used", -1, 2, false, false},
		{"no limit, ten collections under load: there for ever", -1, 10, true, true},
		{"a limit, one collection", 0, 1, false, false},
		{"a limit, ten collections under load", 0, 10, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone(t)
			kept := keptAfter(t, c.limit, c.collections, c.used)
			t.Logf("kept: %.1f MiB", float64(kept)/(1<<20))
			if c.kept {
				assert.Greater(t, kept, int64(huge*9/10))
			} else {
				assert.Less(t, kept, int64(huge/10))
			}
		})
	}
}

func TestBuffersUpToTheLimitAreUsedAgain(t *testing.T) {
	forgets(t)
	alone(t)
	for _, c := range []struct {
		limit, capacity int
		again           bool
	}{{0, MaxKept, true}, {0, MaxKept + 1, false}, {100, 100, true}, {100, 101, false}, {-1, 1 << 20, true}} {
		name := fmt.Sprintf("capacity %d, limit %d", c.capacity, c.limit)
		slices := &Bytes{Max: c.limit}
		b := make([]byte, 3, c.capacity)
		slices.Put(&b)
		assert.Equal(t, c.again, slices.Get() == &b, name)

		buffers := &Buffers{Max: c.limit}
		buffer := bytes.NewBuffer(make([]byte, 3, c.capacity))
		buffers.Put(buffer)
		got := buffers.Get()
		assert.Equal(t, c.again, got == buffer, name)
		assert.Zero(t, got.Len(), name)
	}
}

// secret is in one reply, and must not be in another.
const secret = "card 4111 1111 1111 1111"

// reply answers with a text, in a buffer that is taken and given back by two
// functions. What it returns is a copy.
func reply(get func() *bytes.Buffer, put func(*bytes.Buffer), text string) string {
	b := get()
	defer put(b)
	b.WriteString(text)
	return b.String()
}

// A pool hands out what was put in as it was. The number of tries is for the race
// detector, with which not each Put is kept.
func TestABufferThatIsNotEmptiedLeaksIntoTheNextReply(t *testing.T) {
	alone(t)
	careless := sync.Pool{New: func() any { return new(bytes.Buffer) }}
	leaks := func(get func() *bytes.Buffer, put func(*bytes.Buffer)) (leaked int) {
		for range 200 {
			_ = reply(get, put, secret)
			if next := reply(get, put, "hello"); strings.Contains(next, secret) {
				leaked++
			}
		}
		return leaked
	}
	leaked := leaks(func() *bytes.Buffer { return careless.Get().(*bytes.Buffer) }, func(b *bytes.Buffer) { careless.Put(b) })
	t.Logf("%d of 200 replies had the secret of another in them", leaked)
	assert.Positive(t, leaked)
	if !raceDetector {
		assert.Equal(t, 200, leaked)
	}
	var pool Buffers
	assert.Zero(t, leaks(pool.Get, pool.Put), "emptied on the way out")
}

// Emptying leaves the bytes where they are: whoever makes a slice longer than what was
// written reads what others wrote.
func TestBytesBehindTheLengthAreThoseOfOthers(t *testing.T) {
	alone(t)
	var pool Bytes
	found := 0
	for range 200 {
		b := pool.Get()
		*b = append(*b, secret...)
		pool.Put(b)
		b = pool.Get()
		require.Empty(t, *b)
		header := (*b)[:len(secret)] // to be filled in later, and sent before that
		if string(header) == secret {
			found++
		}
		pool.Put(b)
	}
	assert.Positive(t, found)
}

// What was returned is still the buffer's, and the next request writes to it.
func TestBytesThatAreUsedAfterPutBecomeThoseOfTheNextRequest(t *testing.T) {
	alone(t)
	var pool Bytes
	careless := func(text string) []byte {
		b := pool.Get()
		defer pool.Put(b)
		*b = append(*b, text...)
		return *b
	}
	careful := func(text string) []byte { return bytes.Clone(careless(text)) }
	changed := func(answer func(string) []byte) (n int) {
		for range 200 {
			first := answer("reply to A")
			_ = answer("REPLY TO B")
			if string(first) != "reply to A" {
				n++
			}
		}
		return n
	}
	wrong := changed(careless)
	t.Logf("%d of 200 replies had become another's", wrong)
	assert.Positive(t, wrong)
	if !raceDetector {
		assert.Equal(t, 200, wrong)
	}
	assert.Zero(t, changed(careful), "a copy stays what it is")
}

// Whoever puts a buffer twice has it handed out to two at once.
func TestABufferThatIsPutTwiceIsHandedOutTwice(t *testing.T) {
	alone(t)
	twice := 0
	for range 200 {
		var pool Bytes
		b := pool.Get()
		pool.Put(b)
		pool.Put(b)
		if one, other := pool.Get(), pool.Get(); one == other {
			twice++
		}
	}
	t.Logf("%d of 200 buffers had two owners", twice)
	assert.Positive(t, twice)
}
