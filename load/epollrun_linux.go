package load

import (
	"time"

	"netbench/internal/cpu"
)

// sendsAtOnce bounds the sends of an open loop between two looks at what came
// back, so that catching up does not delay the reading of replies.
const sendsAtOnce = 32

// wakeApart is the least time, ns, that the thread of an open loop sleeps for a
// due time. Requests that are due closer together leave together, up to so much
// late, which is in their send lag. Each wake-up costs several microseconds of
// CPU: at 80,000 requests a second on one CPU this made the generator's share 84
// % instead of 95 % (netbench load -mode open -rate 80000 -conns 100), while the
// p99 of the lag rose from 36 to 64 µs. Below 1/wakeApart requests a second it
// changes nothing.
const wakeApart = int64(30 * time.Microsecond)

// run drives one segment that starts at start, then drains.
func (w *epollWorker) run(s segment, start, quota int64) {
	w.seg = s
	earlier := w.tally
	w.tally = tally{series: w.series}
	// What failed while dialling belongs to the run.
	if s.mode != Connect && earlier.lost > 0 && !w.ran {
		w.errors, w.lost, w.first = earlier.errors, earlier.lost, earlier.first
	}
	w.series.reset()
	w.windowAt, w.endAt = start, start+int64(s.duration)
	w.quota = -1
	if s.requests > 0 {
		w.quota = quota
	}
	w.sending = true
	w.inflight, w.lastDone, w.accounted = 0, 0, start
	w.liveDone.Store(0)
	for !w.stop.Load() && nanos() < start {
		w.wait(start)
	}
	if w.index == 0 {
		w.cpuAt = cpu.Used()
	}
	if s.mode == Idle {
		w.holdIdle()
	} else {
		w.drive(start)
		w.drain()
	}
	w.liveDone.Store(w.completed)
	w.alive = w.liveConns.Load()
	w.ran = true // what has failed is booked
}

// drive sends and receives until the window ends.
func (w *epollWorker) drive(start int64) {
	switch w.seg.mode {
	case Closed, Stream:
		for i := range w.conns {
			if c := &w.conns[i]; c.state == connOpen && !c.silent {
				now := nanos()
				w.begin(i, c, w.p.Pipeline, now, now)
			}
		}
	case Open:
		w.arrivals = NewArrivals(w.p.Arrivals, w.seg.rate, w.shard, w.shards, w.seg.seed)
		w.openFrom = start
		w.due = start + int64(w.arrivals.Next())
		w.free.clear()
		for k := 0; k < w.p.Pipeline; k++ {
			for i := range w.conns {
				if c := &w.conns[i]; c.state == connOpen && !c.silent {
					w.free.push(token{int32(i), start})
				}
			}
		}
	case Connect:
		w.pauses.clear()
		for i := range w.conns {
			w.pauses.push(token{int32(i), start - int64(w.p.Pause)})
		}
	}
	for {
		now := nanos()
		if now >= w.endAt || w.stop.Load() || w.exhausted() {
			w.closeWindow(now)
			return
		}
		if now-w.lastScan > scanEvery {
			w.scan(now)
			w.liveDone.Store(w.completed)
		}
		until := w.endAt
		switch w.seg.mode {
		case Open:
			until = min(until, max(w.sendDue(now), now+wakeApart))
		case Connect:
			until = min(until, w.wake(now))
		}
		w.wait(until)
	}
}

// exhausted tells whether nothing more can happen before the window's end.
func (w *epollWorker) exhausted() bool {
	if w.seg.mode == Connect {
		return w.quota == 0 && w.pauses.len == len(w.conns)
	}
	return w.quota == 0 && w.inflight == 0 || w.liveConns.Load() == 0 && w.dialling == 0
}

// closeWindow ends the measurement. Requests outstanding may still complete; of
// an open loop they count.
func (w *epollWorker) closeWindow(now int64) {
	w.account(now)
	w.sending = false
	if w.index == 0 {
		w.cpu, w.cpuWall = cpu.Used()-w.cpuAt, time.Duration(now-w.windowAt)
	}
	switch {
	case w.quota == 0 && w.lastDone > 0:
		w.endAt, w.elapsed = now, time.Duration(w.lastDone-w.windowAt)
	case now < w.endAt:
		w.endAt, w.elapsed = now, time.Duration(now-w.windowAt)
	default:
		w.elapsed = time.Duration(w.endAt - w.windowAt)
	}
}

// drain waits for outstanding replies, and gives up what does not come.
func (w *epollWorker) drain() {
	inSystem := w.inSystem
	grace := w.p.Grace
	if w.stop.Load() {
		grace = min(grace, interruptGrace)
	}
	until := nanos() + int64(grace)
	for {
		now := nanos()
		unsent := w.seg.mode == Open && w.due < w.endAt && !w.stop.Load() && w.liveConns.Load()+int64(w.dialling) > 0
		if w.inflight == 0 && !unsent && w.dialling == 0 || now >= until {
			break
		}
		wake := until
		if unsent {
			wake = min(wake, w.sendDue(now))
		}
		w.wait(wake)
	}
	if w.seg.mode == Open {
		w.account(nanos())
	} else {
		w.inSystem = inSystem
	}
	if w.stop.Load() {
		w.abandon()
		return
	}
	for i := range w.conns {
		switch c := &w.conns[i]; {
		case c.state == connDialing:
			w.dialFailed(i, c, TimeoutError, errNoReply)
		case c.inflight > 0:
			w.lose(i, c, TimeoutError, errNoReply)
		}
	}
	if w.seg.mode == Open {
		for w.due < w.endAt {
			w.errors[TimeoutError]++
			w.offered++
			w.due = w.openFrom + int64(w.arrivals.Next())
		}
		if w.errors[TimeoutError] > 0 {
			w.note(TimeoutError, errNoReply)
		}
	}
}

// abandon closes, without blame, what was under way when the user interrupted.
func (w *epollWorker) abandon() {
	for i := range w.conns {
		c := &w.conns[i]
		if c.state == connDialing {
			w.dialling--
		}
		if c.state == connDialing || c.inflight > 0 {
			w.hangUp(c, connLost)
		}
	}
	w.inflight = 0
}

// sendDue sends what is due on free connections. It returns when the loop has to
// look again: at the next due time, at once if it stopped early, or far in the
// future if it is replies that are waited for.
func (w *epollWorker) sendDue(now int64) int64 {
	const whenReplyComes = int64(1) << 62
	for range sendsAtOnce {
		if w.due >= w.endAt || w.free.len == 0 {
			return whenReplyComes
		}
		if w.due > now {
			return w.due
		}
		t := w.free.pop()
		i, c := int(t.conn), &w.conns[t.conn]
		if c.state != connOpen {
			if c.state != connLost {
				c.reissue++ // it is being redialled, and comes back then
			}
			continue
		}
		due := w.due
		w.due = w.openFrom + int64(w.arrivals.Next())
		now = nanos()
		ready := max(due, t.since)
		w.offered++
		w.record(w.connWait, ready-due)
		w.record(w.sendLag, now-ready)
		w.inSystem += float64(now - due)
		w.begin(i, c, 1, due, now)
	}
	return now
}

// wake begins the cycles of connect mode whose pause is over. It returns when
// the next one's will be.
func (w *epollWorker) wake(now int64) int64 {
	for w.pauses.len > 0 && w.quota != 0 {
		t := w.pauses.peek()
		if at := t.since + int64(w.p.Pause); at > now {
			return at
		}
		w.pauses.pop()
		if w.quota > 0 {
			w.quota--
		}
		i, c := int(t.conn), &w.conns[t.conn]
		w.offered++
		w.cycleStart[i] = nanos()
		if !w.dial(i, c) {
			// A full backlog of a Unix socket: the cycle waits, and its time runs.
			w.dialling++
			w.dialFailed(i, c, DialError, errBacklog)
		}
	}
	return w.endAt
}

// rest lets a connection of connect mode pause.
func (w *epollWorker) rest(i int, now int64) { w.pauses.push(token{int32(i), now}) }

// finishCycle closes a connection whose exchange is complete.
func (w *epollWorker) finishCycle(i int, c *epollConn, now int64) {
	w.hangUp(c, connClosed)
	end := nanos()
	if now <= w.endAt {
		w.record(w.latency, end-w.cycleStart[i])
	}
	w.rest(i, end)
}

// holdIdle proves that all connections live, holds them without traffic for the
// segment's duration, and proves it again.
func (w *epollWorker) holdIdle() {
	hold := w.seg.duration
	w.endAt = int64(1) << 62
	w.prove()
	for end := nanos() + int64(hold); nanos() < end && !w.stop.Load(); {
		w.wait(end)
	}
	w.prove()
	now := nanos()
	w.endAt = now
	w.closeWindow(now)
	w.elapsed = time.Duration(now - w.windowAt)
	if w.stop.Load() {
		w.abandon()
	}
}

// prove exchanges one request on every connection.
func (w *epollWorker) prove() {
	for i := range w.conns {
		if c := &w.conns[i]; c.state == connOpen {
			now := nanos()
			w.begin(i, c, 1, now, now)
		}
		if i%sendsAtOnce == 0 {
			w.wait(0)
		}
	}
	for (w.inflight > 0 || w.dialling > 0) && !w.stop.Load() {
		now := nanos()
		w.wait(now + int64(50*time.Millisecond))
		if now-w.lastScan > scanEvery {
			w.scan(now)
			w.liveDone.Store(w.completed)
		}
	}
}
