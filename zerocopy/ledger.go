package zerocopy

import (
	"encoding/binary"
	"fmt"
)

// completion is a notice of the kernel: the sends lo to hi, both included, are
// complete. Numbers wrap at 32 bits.
type completion struct {
	lo, hi uint32
	copied bool
}

// Of struct sock_extended_err in linux/errqueue.h: 16 bytes, ee_errno, then one byte
// each of ee_origin, ee_type, ee_code and padding, ee_info, ee_data.
const (
	extendedErrSize = 16
	originZeroCopy  = 5 // SO_EE_ORIGIN_ZEROCOPY
	codeCopied      = 1 // SO_EE_CODE_ZEROCOPY_COPIED
)

// parseNotice reads a sock_extended_err, in the byte order of this machine. ok is
// false for one that is about something else than MSG_ZEROCOPY.
func parseNotice(b []byte) (c completion, ok bool, err error) {
	if len(b) < extendedErrSize {
		return completion{}, false, fmt.Errorf("a notice in the error queue has %d bytes (want %d or more)", len(b), extendedErrSize)
	}
	if b[4] != originZeroCopy {
		return completion{}, false, nil
	}
	if errno := binary.NativeEndian.Uint32(b); errno != 0 {
		return completion{}, false, fmt.Errorf("a notice of MSG_ZEROCOPY bears the error %d (want 0)", errno)
	}
	return completion{
		lo: binary.NativeEndian.Uint32(b[8:]), hi: binary.NativeEndian.Uint32(b[12:]), copied: b[6]&codeCopied != 0,
	}, true, nil
}

// ledger knows which sends of a socket are under way, and so which buffers the kernel
// may still read. A buffer may have several sends, as each may take a part only.
type ledger struct {
	first   uint32   // number of flights[head]
	flights []flight // by number, without gaps; those before head are done with
	head    int
	holds   []int // by buffer: its sends under way, and one for whoever fills or sends it
}

// flight is one send.
type flight struct {
	buffer int
	done   bool
}

func newLedger(buffers int) *ledger { return &ledger{holds: make([]int, buffers)} }

// hold keeps a buffer from being free.
func (l *ledger) hold(buffer int) { l.holds[buffer]++ }

// release ends one hold and tells whether it was the last.
func (l *ledger) release(buffer int) (free bool) {
	l.holds[buffer]--
	return l.holds[buffer] == 0
}

// sent enters a send from a buffer. Its number is one above that of the one before.
func (l *ledger) sent(buffer int) {
	l.hold(buffer)
	l.flights = append(l.flights, flight{buffer: buffer})
}

// underWay is the number of sends that are entered, from the oldest one that is not
// complete on.
func (l *ledger) underWay() int { return len(l.flights) - l.head }

// complete enters a notice and calls free for each buffer that nothing holds any more.
// inOrder tells whether the range began with the oldest send under way. A range with a
// send in it that is not under way, or is complete already, is an error and enters
// nothing: then either side has lost count, and no buffer is safe any more.
func (l *ledger) complete(c completion, free func(buffer int)) (inOrder bool, err error) {
	from := uint64(c.lo - l.first) // both wrap
	n := uint64(c.hi-c.lo) + 1
	if from+n > uint64(l.underWay()) {
		return false, fmt.Errorf("the kernel says that the sends %d to %d are complete, where %d from %d on are under way (has another sender used the connection?)", c.lo, c.hi, l.underWay(), l.first)
	}
	part := l.flights[l.head+int(from):][:n]
	for i := range part {
		if part[i].done {
			return false, fmt.Errorf("the kernel says twice that the send %d is complete", c.lo+uint32(i))
		}
	}
	for i := range part {
		part[i].done = true
		if l.release(part[i].buffer) {
			free(part[i].buffer)
		}
	}
	for l.head < len(l.flights) && l.flights[l.head].done {
		l.head++
		l.first++
	}
	l.compact()
	return from == 0, nil
}

// compact gives up the room of sends that are done with, when it is half of all.
func (l *ledger) compact() {
	if l.head < 64 || 2*l.head < len(l.flights) {
		if l.underWay() > 0 {
			return
		}
	}
	rest := copy(l.flights, l.flights[l.head:])
	l.flights, l.head = l.flights[:rest], 0
}
