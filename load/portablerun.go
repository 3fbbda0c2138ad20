package load

import (
	"context"
	"sync"
	"time"

	"netbench/internal/cpu"
)

// run drives one segment, then drains.
func (e *portableEngine) run(ctx context.Context, s segment) tally {
	e.setPhase("measure")
	dials, stopDials := context.WithCancel(e.ctx)
	defer stopDials()
	e.draining.Store(false)
	e.quota.Store(-1)
	if s.requests > 0 {
		e.quota.Store(s.requests)
	}
	start := nanos()
	d := &drive{e: e, ctx: ctx, start: start, cpuAt: cpu.Used()}
	for _, part := range e.parts {
		part.start(s.mode, start, dials)
	}
	d.setEnd(start + int64(s.duration))
	e.free.clear()
	switch s.mode {
	case Closed, Stream:
		e.resume()
		d.wait(ctx, d.endAt, e.exhausted)
		d.closeWindow()
		d.drain(e.quiet)
		d.giveUp()
	case Open:
		e.resume()
		sending := e.dispatch(s, start)
		d.wait(ctx, d.endAt, e.exhausted)
		d.closeWindow()
		sending.endAt.Store(d.endAt)
		d.drain(func() bool { return sending.over(ctx) && e.quiet() })
		d.unsent = sending.stop()
		d.giveUp()
	case Connect:
		all := e.cycle(d)
		d.wait(ctx, d.endAt, all.over)
		d.closeWindow()
		d.drain(func() bool { return all.over() })
		d.giveUp()
		stopDials()
		all.Wait()
	case Idle:
		d.holdIdle(s.duration)
		d.giveUp()
	}
	return d.collect()
}

// drive is one segment under way. It is used by one goroutine.
type drive struct {
	e       *portableEngine
	ctx     context.Context // ends when the user interrupts
	start   int64
	endAt   int64
	cpuAt   time.Duration
	cpu     time.Duration
	cpuWall time.Duration
	elapsed time.Duration
	unsent  int64 // requests of an open loop that were due and not sent
}

// start begins a window. What failed since the last one stays booked: it belongs
// to this run.
func (s *portablePart) start(mode Mode, now int64, dials context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.sending, s.counting = mode, true, true
	s.accounted, s.lastDone, s.dials = now, 0, dials
}

// resume begins the first requests of a closed loop, and gives an open loop its
// places.
func (e *portableEngine) resume() {
	var ready []*portableConn
	for _, c := range e.conns {
		c.part.mu.Lock()
		if c.state == connOpen && !c.silent {
			ready = append(ready, c)
		}
		c.part.mu.Unlock()
	}
	// An open loop uses all connections before it uses one twice.
	rounds, places := 1, e.p.Pipeline
	if e.p.Mode == Open {
		rounds, places = places, 1
	}
	for range rounds {
		for _, c := range ready {
			c.part.mu.Lock()
			if c.state == connOpen {
				c.proceed(places, nanos())
			}
			c.part.mu.Unlock()
		}
	}
}

// exhausted tells whether nothing more can happen before the window's end.
func (e *portableEngine) exhausted() bool {
	p := e.present()
	return e.quota.Load() == 0 && p.inflight == 0 || p.open == 0 && p.dialling == 0
}

// quiet tells whether nothing is under way.
func (e *portableEngine) quiet() bool {
	p := e.present()
	return p.inflight == 0 && p.dialling == 0 && p.writing == 0
}

// wait returns when the time has come, when over says so after a call of notify,
// or when ctx ends. Meanwhile it fails what waits for too long.
func (d *drive) wait(ctx context.Context, until int64, over func() bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lastScan := nanos()
	for !over() && ctx.Err() == nil {
		now := nanos()
		if now >= until {
			return
		}
		if now-lastScan >= scanEvery {
			lastScan = now
			d.e.scan(now)
		}
		timer.Reset(time.Duration(min(until-now, scanEvery)))
		select {
		case <-timer.C:
		case <-d.e.wake:
		case <-ctx.Done():
		}
	}
}

// scan fails connections whose oldest request has waited for too long. Dials are
// bounded by their own timers.
func (e *portableEngine) scan(now int64) {
	for _, c := range e.conns {
		c.part.mu.Lock()
		if c.state == connOpen && c.inflight.Load() > 0 && now-c.slots[c.head].sent > int64(e.p.RequestTimeout) {
			c.lose(TimeoutError, errNoReply)
		}
		c.part.mu.Unlock()
	}
}

// closeWindow ends the measurement. Requests outstanding may still complete; of
// an open loop they count.
func (d *drive) closeWindow() {
	now := nanos()
	d.e.draining.Store(true)
	d.cpu, d.cpuWall = cpu.Used()-d.cpuAt, time.Duration(now-d.start)
	early := now < d.endAt
	if early || d.e.quota.Load() == 0 {
		d.endAt = now
	}
	var last int64
	for _, s := range d.e.parts {
		s.mu.Lock()
		s.account(min(now, d.endAt))
		s.sending, s.counting = false, s.mode == Open
		s.endAt = d.endAt
		last = max(last, s.lastDone)
		s.mu.Unlock()
	}
	d.elapsed = time.Duration(d.endAt - d.start)
	if d.e.quota.Load() == 0 && last > 0 {
		d.elapsed = time.Duration(last - d.start)
	}
}

// drain waits for outstanding replies, as long as the plan grants, or shortly
// once the user interrupts.
func (d *drive) drain(over func() bool) {
	until := nanos() + int64(d.e.p.Grace)
	d.wait(d.ctx, until, over)
	if d.ctx.Err() != nil {
		d.wait(context.Background(), min(until, nanos()+int64(interruptGrace)), over)
	}
}

// giveUp closes what is still under way when the time is over, with blame unless
// the user interrupted.
func (d *drive) giveUp() {
	now, blame := nanos(), d.ctx.Err() == nil
	if !blame {
		d.unsent = 0
	}
	for _, c := range d.e.conns {
		s := c.part
		s.mu.Lock()
		s.account(now)
		switch busy := c.state == connDialing || c.inflight.Load() > 0; {
		case busy && blame:
			c.lose(TimeoutError, errNoReply)
		case busy:
			s.inflight -= int64(c.inflight.Load())
			c.hangUp(connLost)
		}
		s.mu.Unlock()
	}
}

// collect takes the tallies of all parts, and leaves them empty. What fails from
// now on belongs to the next run.
func (d *drive) collect() tally {
	var sum tally
	for _, s := range d.e.parts {
		s.mu.Lock()
		s.counting = false
		if err := sum.merge(&s.tally); err != nil {
			sum.recordErrors++
		}
		s.series.reset()
		s.tally = tally{series: s.series}
		s.mu.Unlock()
	}
	sum.elapsed, sum.cpu, sum.cpuWall = d.elapsed, d.cpu, d.cpuWall
	sum.cpuAll = cpu.Used() - d.cpuAt
	sum.took = time.Duration(nanos() - d.start)
	sum.alive = d.e.present().open
	if d.unsent > 0 {
		sum.offered += d.unsent
		sum.errors[TimeoutError] += d.unsent
		if sum.first == "" {
			sum.first = TimeoutError.String() + ": " + errNoReply.Error()
		}
	}
	return sum
}

// holdIdle proves that all connections live, holds them without traffic, and
// proves it again.
func (d *drive) holdIdle(hold time.Duration) {
	d.setEnd(1 << 62)
	d.prove()
	d.wait(d.ctx, nanos()+int64(hold), func() bool { return false })
	d.prove()
	d.closeWindow()
}

func (d *drive) setEnd(at int64) {
	d.endAt = at
	for _, s := range d.e.parts {
		s.mu.Lock()
		s.endAt = at
		s.mu.Unlock()
	}
}

// prove exchanges one request on every connection. It is bounded by the time that
// each request may take.
func (d *drive) prove() {
	if d.ctx.Err() != nil {
		return
	}
	for _, c := range d.e.conns {
		s := c.part
		s.mu.Lock()
		if c.state == connOpen && c.inflight.Load() == 0 {
			now := nanos()
			c.begin(1, now, now)
		}
		s.mu.Unlock()
	}
	d.e.draining.Store(true) // so that it is told when all have answered
	d.wait(d.ctx, 1<<62, d.e.quiet)
}

// cycles are the goroutines of connect mode.
type cycles struct {
	sync.WaitGroup
	done chan struct{}
}

func (c *cycles) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// cycle has each connection dial, exchange once, close and pause until the
// window ends.
func (e *portableEngine) cycle(d *drive) *cycles {
	all := &cycles{done: make(chan struct{})}
	end := d.endAt // a run that ends early moves it
	window, closed := context.WithDeadline(d.ctx, epoch.Add(time.Duration(end)))
	for _, c := range e.conns {
		all.Go(func() {
			b := make([]byte, e.readSize())
			pause := time.NewTimer(0)
			defer pause.Stop()
			for {
				select {
				case <-pause.C:
				case <-window.Done():
					return
				}
				// The timer of the window's end may be late.
				if window.Err() != nil || nanos() >= end || e.takeQuota(1) == 0 {
					return
				}
				c.oneCycle(b)
				pause.Reset(e.p.Pause)
			}
		})
	}
	e.tasks.Go(func() {
		all.Wait()
		closed()
		close(all.done)
		e.notify()
	})
	return all
}

// oneCycle dials, exchanges one request, and closes.
func (c *portableConn) oneCycle(b []byte) {
	s, start := c.part, nanos()
	s.mu.Lock()
	if !s.sending {
		s.mu.Unlock()
		return
	}
	s.offered++
	c.become(connDialing)
	s.mu.Unlock()
	if c.connect() != nil || c.serve(b) != fateFinish {
		return
	}
	now := nanos()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.hangUp(connClosed)
	if now <= s.endAt {
		s.record(s.latency, nanos()-start)
	}
}
