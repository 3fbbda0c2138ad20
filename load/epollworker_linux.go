package load

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// epollConn is one connection. There may be tens of thousands of them: it holds
// no buffer.
type epollConn struct {
	flow
	fd       int32
	state    connState
	blocked  bool  // the kernel's send buffer is full
	silent   bool  // see Plan.Silent
	head     int16 // ring position of the oldest request outstanding
	inflight int16 // requests begun and not answered
	reissue  int16 // places for requests to be given back when redialled
	owed     int64 // bytes of them still to be written
	since    int64 // when dialling began
}

// epollWorker drives its connections from one thread. Only the fields marked so
// may be touched by others while an order is carried out.
type epollWorker struct {
	p           *Plan
	m           *material
	index       int // among the workers of this process
	shard       int // among the workers of all processes
	shards      int
	ep          int
	addrs       []*sockaddr
	conns       []epollConn
	slots       []slot // Pipeline for each connection
	events      []unix.EpollEvent
	buf         []byte
	orders      chan order
	gone        chan struct{}
	dialled     int   // connections dialled so far, for source addresses
	dialling    int   // of these, those under way
	firstFailed error // why the first one that failed did

	stop      atomic.Bool  // set by others
	liveConns atomic.Int64 // read by others
	liveDone  atomic.Int64 // read by others

	tally

	// State of the segment under way.
	seg       segment
	sending   bool  // new requests may begin
	ran       bool  // a segment has been driven before
	windowAt  int64 // start of what is measured
	endAt     int64 // end of the window
	quota     int64 // requests that may still begin; negative: no limit
	inflight  int64 // requests outstanding on all connections
	accounted int64 // time up to which inSystem is integrated
	lastDone  int64 // when the last request completed
	lastScan  int64
	cpuAt     time.Duration

	arrivals Arrivals // open mode
	openFrom int64    // what arrivals count from
	due      int64    // the next one
	free     ring     // places for requests

	pauses     ring    // connect mode: connections at rest, and when that began
	cycleStart []int64 // connect mode: when each connection's cycle began
}

func newEpollWorker(p *Plan, m *material, conns, index, workers int) (*epollWorker, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll descriptor: %w", err)
	}
	w := &epollWorker{
		p: p, m: m, ep: ep,
		index: index, shard: p.shard*workers + index, shards: p.shards * workers,
		conns:  make([]epollConn, conns),
		slots:  make([]slot, conns*p.Pipeline),
		events: make([]unix.EpollEvent, 256),
		buf:    make([]byte, 64<<10),
		orders: make(chan order), gone: make(chan struct{}),
	}
	for i := range w.conns {
		w.conns[i].fd = -1
		w.conns[i].silent = p.silent(w.shard, w.shards, i)
	}
	for _, t := range p.Targets {
		a, err := newSockaddr(t)
		if err != nil {
			_ = unix.Close(ep)
			return nil, err
		}
		w.addrs = append(w.addrs, a)
	}
	switch p.Mode {
	case Open:
		w.free.tokens = make([]token, conns*p.Pipeline)
	case Connect:
		w.pauses.tokens = make([]token, conns)
		w.cycleStart = make([]int64, conns)
	}
	w.series = newSeries(p.Mode)
	if _, e := rawWait(ep, w.events, 0); e == unix.ENOSYS {
		_ = unix.Close(ep)
		return nil, badInput("engine epoll needs epoll_pwait2, which is in Linux from 5.11 on (use -engine portable)")
	}
	return w, nil
}

// wait lets the kernel wake the thread for events, at the latest at until, and
// handles them.
func (w *epollWorker) wait(until int64) {
	n, e := rawWait(w.ep, w.events, time.Duration(min(until-nanos(), int64(50*time.Millisecond))))
	if e != 0 {
		return // EINTR: the loop looks at the clock again
	}
	for i := range n {
		ev := &w.events[i]
		c := &w.conns[ev.Fd]
		switch c.state {
		case connDialing:
			w.dialDone(int(ev.Fd), c, ev.Events)
		case connOpen:
			if c.blocked && ev.Events&unix.EPOLLOUT != 0 {
				c.blocked = false
				w.flush(int(ev.Fd), c)
			}
			if c.state == connOpen && ev.Events&^uint32(unix.EPOLLOUT) != 0 {
				w.readable(int(ev.Fd), c, ev.Events)
			}
		}
	}
}

// flush writes what is owed, as far as the kernel takes it.
func (w *epollWorker) flush(i int, c *epollConn) {
	for c.owed > 0 && !c.blocked {
		b := w.m.next(&c.flow, c.owed)
		n, e := rawWrite(c.fd, b)
		switch e {
		case 0:
			w.m.sent(&c.flow, n)
			c.owed -= int64(n)
			w.bytesOut += int64(n)
		case unix.EAGAIN:
			c.blocked = true
		case unix.EINTR:
		default:
			w.lose(i, c, ResetError, e)
			return
		}
	}
}

// readable takes in what has come, answers completions, and goes on.
func (w *epollWorker) readable(i int, c *epollConn, events uint32) {
	for {
		n, e := rawRead(c.fd, w.buf)
		switch {
		case e == unix.EINTR:
			continue
		case e == unix.EAGAIN:
			return
		case e != 0:
			w.lose(i, c, ResetError, e)
			return
		case n == 0:
			w.ended(i, c)
			return
		}
		w.bytesIn += int64(n)
		if !w.take(i, c, w.buf[:n]) {
			return
		}
		if n < len(w.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return // a short read empties the socket; more raises a new edge
		}
	}
}

// take hands bytes to the protocol. It returns false when the connection is not
// to be read any further.
func (w *epollWorker) take(i int, c *epollConn, b []byte) bool {
	now := nanos()
	completed := 0
	for len(b) > 0 {
		if c.inflight == 0 {
			w.lose(i, c, MismatchError, errUnasked)
			return false
		}
		n, out := w.m.receive(&c.flow, b)
		b = b[n:]
		switch out {
		case more:
		case mismatch:
			w.lose(i, c, MismatchError, errMismatch)
			return false
		default:
			w.complete(i, c, now, out == doneBad || out == doneLastBad)
			completed++
			if (out == doneLast || out == doneLastBad) && w.seg.mode != Connect {
				w.redial(i, c, completed)
				return false
			}
		}
	}
	if completed > 0 {
		return w.proceed(i, c, completed, now)
	}
	return true
}

// proceed decides what follows completed requests.
func (w *epollWorker) proceed(i int, c *epollConn, completed int, now int64) bool {
	switch w.seg.mode {
	case Closed, Stream:
		if w.sending && now < w.endAt {
			w.begin(i, c, completed, now, now)
		}
	case Open:
		for range completed {
			w.free.push(token{int32(i), now})
		}
	case Connect:
		w.finishCycle(i, c, now)
		return false
	}
	return c.state == connOpen
}

// begin sends k requests on a connection, as far as the quota goes.
func (w *epollWorker) begin(i int, c *epollConn, k int, due, now int64) {
	if w.quota >= 0 && w.seg.mode != Connect {
		k = int(min(int64(k), w.quota))
		w.quota -= int64(k)
	}
	if k == 0 {
		return
	}
	w.account(now)
	p := w.p.Pipeline
	for range k {
		w.slots[i*p+(int(c.head)+int(c.inflight))%p] = slot{due, now}
		c.inflight++
	}
	w.inflight += int64(k)
	c.owed += int64(k) * int64(w.m.txUnit)
	if !c.blocked {
		w.flush(i, c)
	}
}

// complete books the oldest request of a connection as answered.
func (w *epollWorker) complete(i int, c *epollConn, now int64, bad bool) {
	w.account(now)
	s := w.slots[i*w.p.Pipeline+int(c.head)]
	if c.head++; int(c.head) == w.p.Pipeline {
		c.head = 0
	}
	c.inflight--
	w.inflight--
	if bad {
		w.fault(now, s)
		return
	}
	switch w.seg.mode {
	case Open:
		if now <= w.endAt {
			w.completed++
		} else {
			w.drained++
		}
		w.residence += float64(now - s.due)
		w.record(w.latency, now-s.due)
		w.record(w.service, now-s.sent)
	default:
		if now > w.endAt {
			w.drained++
			return
		}
		w.completed++
		w.lastDone = now
		w.residence += float64(now - s.sent)
		w.record(w.service, now-s.sent)
	}
}

// fault books a whole reply that reports failure: an exchange that cost what an
// exchange costs, and no success.
func (w *epollWorker) fault(now int64, s slot) {
	w.errors[StatusError]++
	w.bad++
	w.note(StatusError, errStatus)
	switch {
	case w.seg.mode == Open:
		w.residence += float64(now - s.due)
	case now <= w.endAt:
		w.lastDone = now
		w.residence += float64(now - s.sent)
	}
}

// account integrates the number of requests in the system up to now.
func (w *epollWorker) account(now int64) {
	if now > w.accounted {
		w.inSystem += float64(w.inflight) * float64(now-w.accounted)
		w.accounted = now
	}
}

// ended handles the end of the stream.
func (w *epollWorker) ended(i int, c *epollConn) {
	switch out := w.m.endOfStream(&c.flow); {
	case out != more && c.inflight > 0:
		w.complete(i, c, nanos(), out == doneLastBad)
		if w.seg.mode == Connect {
			w.finishCycle(i, c, nanos())
		} else {
			w.redial(i, c, 1)
		}
	default:
		w.lose(i, c, ShortError, errShort)
	}
}

// lose gives a connection up, and books its requests as failed.
func (w *epollWorker) lose(i int, c *epollConn, kind ErrorKind, err error) {
	now := nanos()
	w.account(now)
	w.errors[kind] += max(1, int64(c.inflight))
	w.note(kind, err)
	w.inflight -= int64(c.inflight)
	w.lost++
	w.hangUp(c, connLost)
	if w.seg.mode == Connect && w.sending {
		// A failed cycle costs a connection only until the next one.
		c.state = connClosed
		w.rest(i, now)
	}
}

func (w *epollWorker) note(kind ErrorKind, err error) {
	if w.first == "" {
		w.first = kind.String() + ": " + err.Error()
	}
}

// hangUp closes a connection's descriptor, and forgets its requests.
func (w *epollWorker) hangUp(c *epollConn, state connState) {
	if c.fd >= 0 {
		_ = unix.Close(int(c.fd))
		c.fd = -1
		if c.state == connOpen {
			w.liveConns.Add(-1)
		}
	}
	c.state, c.blocked = state, false
	c.head, c.inflight, c.owed = 0, 0, 0
}

// scan fails what has waited too long. It is called about ten times a second.
func (w *epollWorker) scan(now int64) {
	w.lastScan = now
	for i := range w.conns {
		c := &w.conns[i]
		switch {
		case c.state == connDialing && now-c.since > int64(w.p.DialTimeout):
			w.dialFailed(i, c, TimeoutError, syscall.ETIMEDOUT)
		case c.state == connOpen && c.inflight > 0 &&
			now-w.slots[i*w.p.Pipeline+int(c.head)].sent > int64(w.p.RequestTimeout):
			w.lose(i, c, TimeoutError, errNoReply)
		}
	}
}
