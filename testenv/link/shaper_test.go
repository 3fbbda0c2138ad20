package link

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ms = instant(time.Millisecond)

// shaped makes a direction with a valid shape.
func shaped(t *testing.T, s Shape, seed uint64) *shaper {
	t.Helper()
	s, err := s.validate("AToB")
	require.NoError(t, err)
	return newShaper(s, seed, 0)
}

// numbered is a packet of a size that can be told from others.
func numbered(n, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint32(b, uint32(n))
	return b
}

type arrival struct {
	number int
	at     instant
}

// arrivals lets time pass until nothing is held or the end is there, looking at the
// direction when it asks to be.
func arrivals(s *shaper, until instant) (all []arrival) {
	for now := s.next(); now <= until; now = s.next() {
		for {
			p, ok := s.take(now)
			if !ok {
				break
			}
			all = append(all, arrival{int(binary.BigEndian.Uint32(p.data)), now})
			s.delivered(p)
		}
	}
	return all
}

func balanced(t *testing.T, c Counts) {
	t.Helper()
	assert.Equal(t, c.Sent, c.Delivered+c.DroppedQueue+c.Lost+c.Refused+c.Held, "%+v", c)
}

func TestPacketsAreTransmittedOneAfterTheOtherAndThenDelayed(t *testing.T) {
	s := shaped(t, Shape{Delay: 20 * time.Millisecond, Rate: 8e6}, 1) // 1000 bytes take 1 ms
	s.arrive(5*ms, numbered(0, 1000))
	s.arrive(5*ms, numbered(1, 500))
	s.arrive(5*ms, numbered(2, 1000))
	assert.Equal(t, 26*ms, s.next())
	_, ok := s.take(26*ms - 1)
	assert.False(t, ok, "never early")
	assert.Equal(t, []arrival{{0, 26 * ms}, {1, 26*ms + ms/2}, {2, 27*ms + ms/2}}, arrivals(s, never-1))
	s.arrive(100*ms, numbered(3, 1000))
	assert.Equal(t, []arrival{{3, 121 * ms}}, arrivals(s, never-1), "an idle link saves nothing up")
	balanced(t, s.counts)
}

func TestWithoutARateNothingWaits(t *testing.T) {
	s := shaped(t, Shape{Delay: 3 * time.Millisecond, QueuePackets: 1}, 1)
	for i := range 100 {
		s.arrive(7*ms, numbered(i, 1500))
	}
	all := arrivals(s, never-1)
	require.Len(t, all, 100)
	for i, a := range all {
		assert.Equal(t, arrival{i, 10 * ms}, a)
	}
}

func TestLatenessOfTheForwarderDoesNotAddUp(t *testing.T) {
	s := shaped(t, Shape{Rate: 8e6}, 1)
	for i := range 10 {
		s.arrive(0, numbered(i, 1000))
	}
	_, ok := s.take(ms - 1)
	require.False(t, ok)
	got := 0
	for { // looked at once only, late
		p, ok := s.take(9*ms + ms/2)
		if !ok {
			break
		}
		s.delivered(p)
		got++
	}
	assert.Equal(t, 9, got)
	assert.Equal(t, 10*ms, s.next())
}

func TestTheQueueIsBoundedByPacketsOrBytes(t *testing.T) {
	for _, c := range []struct {
		shape     Shape
		delivered uint64 // of 10 packets of 1000 bytes at once, the first of which does not wait
	}{
		{Shape{Rate: 8e6, QueuePackets: 3}, 4},
		{Shape{Rate: 8e6, QueueBytes: 3999}, 4},
		{Shape{Rate: 8e6, QueueBytes: 4000}, 5},
		{Shape{Rate: 8e6, QueueBytes: 999}, 1},
		{Shape{Rate: 8e6, QueuePackets: 2, QueueBytes: 4000}, 3},
		{Shape{Rate: 8e6}, 10},
	} {
		s := shaped(t, c.shape, 1)
		for i := range 10 {
			s.arrive(0, numbered(i, 1000))
		}
		all := arrivals(s, never-1)
		assert.Len(t, all, int(c.delivered), "%+v", c.shape)
		assert.Equal(t, c.delivered, s.counts.Delivered)
		assert.Equal(t, 10-c.delivered, s.counts.DroppedQueue)
		for i, a := range all {
			assert.Equal(t, i, a.number, "what comes last is dropped")
		}
		s.arrive(100*ms, numbered(10, 4))
		assert.Len(t, arrivals(s, never-1), 1, "there is room again")
		balanced(t, s.counts)
	}
}

func TestWhatADirectionHoldsIsBounded(t *testing.T) {
	s := shaped(t, Shape{Delay: time.Second}, 1)
	s.heldBytes = maxHeld - 1500 // as if so much were on the wire
	s.arrive(0, numbered(0, 1000))
	s.arrive(0, numbered(1, 1000))
	assert.Equal(t, uint64(1), s.counts.DroppedQueue)
	assert.Len(t, arrivals(s, never-1), 1)
}

// lostOf says which of n packets are lost, however they are spaced.
func lostOf(t *testing.T, s *shaper, n int, gap instant) map[int]bool {
	lost := map[int]bool{}
	for i := range n {
		lost[i] = true
		s.arrive(instant(i)*gap, numbered(i, 100))
	}
	for _, a := range arrivals(s, never-1) {
		delete(lost, a.number)
	}
	assert.Equal(t, uint64(len(lost)), s.counts.Lost)
	balanced(t, s.counts)
	return lost
}

func TestTheSeedDecidesWhichPacketsAreLost(t *testing.T) {
	shape := Shape{Loss: 0.01, QueuePackets: 1 << 20}
	a := lostOf(t, shaped(t, shape, 1), 10_000, 0)
	shape.Rate, shape.Delay = 1e6, time.Second
	assert.Equal(t, a, lostOf(t, shaped(t, shape, 1), 10_000, ms), "another rate, delay and timing")
	assert.NotEqual(t, a, lostOf(t, shaped(t, shape, 2), 10_000, 0), "another seed")
	assert.NotEqual(t, a, lostOf(t, newShaper(shape, 1, 1), 10_000, 0), "the other direction")
	assert.InDelta(t, 100, len(a), 50, "five standard deviations")
	shape.Loss = 1
	assert.Len(t, lostOf(t, shaped(t, shape, 1), 100, 0), 100)
}

func TestALostPacketTakesItsTurn(t *testing.T) {
	s := shaped(t, Shape{Rate: 8e6, Loss: 1}, 1)
	s.arrive(0, numbered(0, 1000))
	s.change(0, Shape{Rate: 8e6, QueuePackets: 1})
	s.arrive(0, numbered(1, 1000))
	assert.Equal(t, []arrival{{1, 2 * ms}}, arrivals(s, never-1))
	assert.Equal(t, uint64(1), s.counts.Lost)
}

func TestAChangedRateAppliesToWhatIsLeft(t *testing.T) {
	s := shaped(t, Shape{Rate: 8e6, Delay: 10 * time.Millisecond}, 1)
	s.arrive(0, numbered(0, 1000))
	s.arrive(0, numbered(1, 1000))
	s.change(ms/2, Shape{Rate: 4e6, Delay: 10 * time.Millisecond}) // half of the first is left: 1 ms more
	assert.Equal(t, []arrival{{0, 11*ms + ms/2}, {1, 13*ms + ms/2}}, arrivals(s, never-1))
}

func TestALowerDelayDoesNotReorder(t *testing.T) {
	s := shaped(t, Shape{Delay: 100 * time.Millisecond}, 1)
	s.arrive(0, numbered(0, 100))
	s.change(ms, Shape{Delay: 10 * time.Millisecond})
	s.arrive(2*ms, numbered(1, 100))
	s.arrive(95*ms, numbered(2, 100))
	assert.Equal(t, []arrival{{0, 100 * ms}, {1, 100 * ms}, {2, 105 * ms}}, arrivals(s, never-1))
}

func TestAStalledDirectionKeepsItsQueueAndGoesOn(t *testing.T) {
	run := Shape{Rate: 8e6, Delay: 10 * time.Millisecond, QueuePackets: 2}
	stalled := run
	stalled.Stalled = true
	s := shaped(t, run, 1)
	s.arrive(0, numbered(0, 1000))
	s.arrive(ms, numbered(1, 1000))
	s.change(ms+ms/4, stalled) // a quarter of the second is out
	for i := range 5 {
		s.arrive(2*ms, numbered(2+i, 1000))
	}
	assert.Equal(t, []arrival{{0, 11 * ms}}, arrivals(s, never-1), "what is on the wire arrives")
	assert.Equal(t, never, s.next(), "nothing wakes the forwarder meanwhile")
	assert.Equal(t, uint64(3), s.counts.DroppedQueue)
	s.change(500*ms, stalled) // no progress, no harm
	s.change(1000*ms, run)
	want := 1000*ms + 3*ms/4 + 10*ms
	assert.Equal(t, []arrival{{1, want}, {2, want + ms}, {3, want + 2*ms}}, arrivals(s, never-1))
	balanced(t, s.counts)
}

func TestAStalledDirectionWithoutARateQueuesToo(t *testing.T) {
	s := shaped(t, Shape{Stalled: true, QueuePackets: 2}, 1)
	for i := range 3 {
		s.arrive(0, numbered(i, 1000))
	}
	assert.Equal(t, never, s.next())
	s.change(5*ms, Shape{QueuePackets: 2})
	assert.Equal(t, []arrival{{0, 5 * ms}, {1, 5 * ms}}, arrivals(s, never-1))
	assert.Equal(t, uint64(1), s.counts.DroppedQueue)
}

func TestTheFifoKeepsOrderAndContent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var f fifo
	in, out := 0, 0
	for range 100_000 {
		if r.IntN(2) == 0 && f.len() < 50 {
			f.push(packet{due: instant(in)})
			in++
		} else if f.len() > 0 {
			require.Equal(t, instant(out), f.first().due)
			require.Equal(t, instant(out), f.pop().due)
			out++
		}
		require.Equal(t, in-out, f.len())
	}
	assert.Less(t, cap(f.items), 500, "it does not grow with what went through")
}
