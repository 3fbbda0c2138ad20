package link

import (
	"fmt"
	"time"
)

// Defaults and bounds of [Config] and [Shape].
const (
	DefaultMTU   = 1500 // bytes
	DefaultQueue = 1000 // packets, where no queue length is given

	minMTU   = 68    // RFC 791: what every host must be able to forward
	maxMTU   = 65535 // the longest IPv4 packet
	maxDelay = time.Minute
	maxRate  = 1_000_000_000_000 // bits/s; a packet takes a nanosecond or more
	maxQueue = 1 << 20           // packets
	maxHeld  = 256 << 20         // bytes of packets that a direction keeps at most, its wire included
)

// Config says what a link is like. The zero value is a link that is as fast as the
// machine.
type Config struct {
	AToB, BToA Shape

	// Seed of the losses. The same seed loses the same packets; the two directions
	// differ.
	Seed uint64

	// MTU is the length of the longest IP packet in bytes, 68 to 65535; 0 means
	// [DefaultMTU].
	MTU int
}

// Shape says what one direction of a link does to its packets.
type Shape struct {
	// Delay is the time a bit is on its way, 0 to 1 minute. Half the round trip
	// where both directions have it.
	Delay time.Duration

	// Rate in bits of IP packets per second, up to 1e12; 0 means unlimited.
	Rate int64

	// QueuePackets and QueueBytes bound what waits to be transmitted; the packet
	// in transmission and those on the wire do not count. 0 means that this bound
	// does not hold; if both are 0, QueuePackets is [DefaultQueue]. Without a rate
	// nothing waits, unless the direction is stalled. Apart from this, what a
	// direction holds in all is bounded to 256 MiB.
	QueuePackets, QueueBytes int

	// Loss is the share of packets that are lost on the wire, 0 to 1. At 1 the
	// wire is cut.
	Loss float64

	// Stalled stops the transmitter: packets wait in the queue, until it is full.
	// What is on the wire arrives.
	Stalled bool
}

// Both is a link with the same shape in both directions.
func Both(s Shape) Config { return Config{AToB: s, BToA: s} }

// Counts says what happened in one direction since the link was made. At any time
// Sent = Delivered + DroppedQueue + Lost + Refused + Held.
type Counts struct {
	Sent, SentBytes           uint64 // packets that entered the direction
	Delivered, DeliveredBytes uint64 // packets given to the kernel at the other end
	DroppedQueue              uint64 // packets that found the queue full
	Lost                      uint64 // packets lost on the wire
	Refused                   uint64 // packets that the kernel at the other end did not take
	Held                      uint64 // packets that wait, or are on the wire

	// Missed are packets that the kernel at the sending end dropped before they
	// entered, because the forwarder did not keep up.
	Missed uint64
}

// Stats says what happened in both directions.
type Stats struct {
	AToB, BToA Counts
}

// validate checks a configuration and puts in the defaults.
func (c Config) validate() (Config, error) {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MTU < minMTU || c.MTU > maxMTU {
		return c, fmt.Errorf("link: MTU is %d, want %d to %d bytes, or 0 for %d", c.MTU, minMTU, maxMTU, DefaultMTU)
	}
	var err error
	if c.AToB, err = c.AToB.validate("AToB"); err != nil {
		return c, err
	}
	c.BToA, err = c.BToA.validate("BToA")
	return c, err
}

// validate checks the shape of the direction with this name and puts in the
// defaults.
func (s Shape) validate(direction string) (Shape, error) {
	fail := func(field string, found any, want string) (Shape, error) {
		return s, fmt.Errorf("link: %s.%s is %v, want %s", direction, field, found, want)
	}
	switch {
	case s.Delay < 0 || s.Delay > maxDelay:
		return fail("Delay", s.Delay, fmt.Sprintf("0 to %v", maxDelay))
	case s.Rate < 0 || s.Rate > maxRate:
		return fail("Rate", s.Rate, fmt.Sprintf("1 to %d bits/s, or 0 for unlimited", int64(maxRate)))
	case s.QueuePackets < 0 || s.QueuePackets > maxQueue:
		return fail("QueuePackets", s.QueuePackets, fmt.Sprintf("1 to %d, or 0 for no bound by packets", maxQueue))
	case s.QueueBytes < 0 || s.QueueBytes > maxHeld:
		return fail("QueueBytes", s.QueueBytes, fmt.Sprintf("1 to %d, or 0 for no bound by bytes", maxHeld))
	case !(s.Loss >= 0 && s.Loss <= 1): // not a number neither
		return fail("Loss", s.Loss, "0 to 1")
	}
	if s.QueuePackets == 0 && s.QueueBytes == 0 {
		s.QueuePackets = DefaultQueue
	}
	return s, nil
}
