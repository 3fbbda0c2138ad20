package link

import (
	"math"
	"math/rand/v2"
	"time"
)

// instant is a time on a link's clock: nanoseconds since the link was made.
type instant int64

const never = instant(math.MaxInt64)

// packet is an IP packet within a direction.
type packet struct {
	data []byte
	lost bool    // it takes its time and does not arrive
	due  instant // when it arrives, once it is on the wire
}

// shaper is one direction of a link: a queue, a transmitter and a wire. It is a
// calculation over times that it is given; it has no clock, and no file. Times
// given to it never decrease.
type shaper struct {
	shape  Shape
	random *rand.Rand

	waiting      fifo
	waitingBytes int

	// The packet in transmission. It has left bits to go since that time; while
	// the transmitter is stalled they stay.
	busy    bool
	current packet
	left    float64
	since   instant

	wire      fifo
	lastDue   instant
	heldBytes int

	counts Counts
	spare  [][]byte // buffers of packets that are gone
}

// newShaper makes the direction of this number, 0 or 1, of a link with this seed.
func newShaper(s Shape, seed, direction uint64) *shaper {
	return &shaper{shape: s, random: rand.New(rand.NewPCG(seed, direction))}
}

// arrive lets a packet, whose data are copied, enter at a time.
func (s *shaper) arrive(now instant, data []byte) {
	s.advance(now)
	s.counts.Sent++
	s.counts.SentBytes += uint64(len(data))
	// One number per packet, used or not: the n-th packet's fate is its own.
	lost := s.random.Float64() < s.shape.Loss
	mustWait := s.busy || s.shape.Stalled
	if s.heldBytes+len(data) > maxHeld || mustWait && s.full(len(data)) {
		s.counts.DroppedQueue++
		return
	}
	p := packet{data: append(s.buffer(), data...), lost: lost}
	s.counts.Held++
	s.heldBytes += len(data)
	if mustWait {
		s.waiting.push(p)
		s.waitingBytes += len(data)
		return
	}
	s.begin(p, now)
	s.advance(now) // without a rate it is on the wire at once
}

// full tells whether the queue has no room for so many bytes more.
func (s *shaper) full(size int) bool {
	return s.shape.QueuePackets > 0 && s.waiting.len() >= s.shape.QueuePackets ||
		s.shape.QueueBytes > 0 && s.waitingBytes+size > s.shape.QueueBytes
}

// begin starts to transmit a packet.
func (s *shaper) begin(p packet, at instant) {
	s.busy, s.current, s.left, s.since = true, p, float64(len(p.data))*8, at
}

// finish is when the transmission that goes on will have ended.
func (s *shaper) finish() instant {
	switch {
	case !s.busy || s.shape.Stalled:
		return never
	case s.shape.Rate == 0:
		return s.since
	}
	return s.since + instant(math.Ceil(s.left*float64(time.Second)/float64(s.shape.Rate)))
}

// advance ends the transmissions that have ended by now. Each begins when the one
// before ended, not when that was noticed.
func (s *shaper) advance(now instant) {
	for {
		at := s.finish()
		if at > now {
			return
		}
		p := s.current
		s.busy, s.current = false, packet{}
		if p.lost {
			s.counts.Lost++
			s.release(p)
		} else {
			p.due = max(at+instant(s.shape.Delay), s.lastDue)
			s.lastDue = p.due
			s.wire.push(p)
		}
		s.beginNext(at)
	}
}

// beginNext starts to transmit what has waited longest.
func (s *shaper) beginNext(at instant) {
	if s.waiting.len() > 0 {
		p := s.waiting.pop()
		s.waitingBytes -= len(p.data)
		s.begin(p, at)
	}
}

// take returns the next packet that has arrived by now. Its data are the caller's
// until it calls delivered or refused, one of which it has to.
func (s *shaper) take(now instant) (packet, bool) {
	s.advance(now)
	if s.wire.len() == 0 || s.wire.first().due > now {
		return packet{}, false
	}
	return s.wire.pop(), true
}

// delivered says that the other end has taken a packet.
func (s *shaper) delivered(p packet) {
	s.counts.Delivered++
	s.counts.DeliveredBytes += uint64(len(p.data))
	s.release(p)
}

// refused says that the other end did not take a packet.
func (s *shaper) refused(p packet) {
	s.counts.Refused++
	s.release(p)
}

// next is when take may have something, if nothing enters before. What is in
// transmission needs no attention before it would arrive.
func (s *shaper) next() instant {
	if s.wire.len() > 0 {
		return s.wire.first().due
	}
	if at := s.finish(); at != never {
		return max(at+instant(s.shape.Delay), s.lastDue)
	}
	return never
}

// change gives the direction another shape. What is left of the packet in
// transmission goes on at the new rate; what is on the wire arrives when it would
// have; what waits, waits, even if a shorter queue had not admitted it.
func (s *shaper) change(now instant, shape Shape) {
	s.advance(now)
	if s.busy {
		if !s.shape.Stalled { // and the rate is limited, or it would not be busy still
			s.left = max(0, s.left-float64(now-s.since)*float64(s.shape.Rate)/float64(time.Second))
		}
		s.since = now
	}
	s.shape = shape
	if !s.busy && !shape.Stalled {
		s.beginNext(now)
	}
	s.advance(now)
}

// buffer returns an empty buffer.
func (s *shaper) buffer() []byte {
	n := len(s.spare)
	if n == 0 {
		return nil
	}
	b := s.spare[n-1]
	s.spare = s.spare[:n-1]
	return b[:0]
}

// release ends the account of a packet and keeps its buffer for another one.
func (s *shaper) release(p packet) {
	s.counts.Held--
	s.heldBytes -= len(p.data)
	if len(s.spare) < 1024 {
		s.spare = append(s.spare, p.data)
	}
}
