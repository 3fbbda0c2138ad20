package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// freePlaces are the places for requests on connections of an open loop, in the
// order in which they became free.
type freePlaces struct {
	changed chan struct{} // room for one: places were added

	mu sync.Mutex
	ring
}

func (f *freePlaces) push(conn, places int, since int64) {
	f.mu.Lock()
	for range places {
		f.ring.push(token{int32(conn), since})
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default: // the dispatcher is going to look anyway
	}
}

func (f *freePlaces) pop() (token, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring.len == 0 {
		return token{}, false
	}
	return f.ring.pop(), true
}

func (f *freePlaces) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring.clear()
}

// dispatcher sends the requests of an open loop when they are due.
type dispatcher struct {
	e        *portableEngine
	arrivals Arrivals
	start    int64
	due      int64 // the next request; belongs to the goroutine until gone is closed
	endAt    atomic.Int64
	quit     context.CancelFunc
	gone     chan struct{}
}

// dispatch starts a dispatcher. It sends until all requests due before endAt are
// sent, or until it is stopped.
func (e *portableEngine) dispatch(s segment, start int64) *dispatcher {
	ctx, quit := context.WithCancel(e.ctx)
	d := &dispatcher{
		e: e, start: start, quit: quit, gone: make(chan struct{}),
		arrivals: NewArrivals(e.p.Arrivals, s.rate, e.p.shard, e.p.shards, s.seed),
	}
	d.endAt.Store(start + int64(s.duration))
	go func() {
		defer e.notify()
		defer close(d.gone)
		d.loop(ctx)
	}()
	return d
}

// over tells whether nothing is left to send: all is sent, or the user
// interrupted, or there is no connection any more.
func (d *dispatcher) over(ctx context.Context) bool {
	if p := d.e.present(); ctx.Err() != nil || p.open == 0 && p.dialling == 0 {
		return true
	}
	select {
	case <-d.gone:
		return true
	default:
		return false
	}
}

// stop ends the dispatcher and returns how many requests were due and not sent.
func (d *dispatcher) stop() (unsent int64) {
	d.quit()
	<-d.gone
	for ; d.due < d.endAt.Load(); d.due = d.start + int64(d.arrivals.Next()) {
		unsent++
	}
	return unsent
}

func (d *dispatcher) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	d.due = d.start + int64(d.arrivals.Next())
	for ctx.Err() == nil {
		now := nanos()
		if d.due >= d.endAt.Load() {
			return
		}
		if d.due > now {
			timer.Reset(time.Duration(d.due - now))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			continue
		}
		place, ok := d.e.free.pop()
		if !ok {
			select {
			case <-d.e.free.changed:
			case <-ctx.Done():
			}
			continue
		}
		if d.send(place) {
			d.due = d.start + int64(d.arrivals.Next())
		}
	}
}

// send begins the request that is due on a free place. It returns false if the
// place is no more.
func (d *dispatcher) send(place token) bool {
	c := d.e.conns[place.conn]
	s := c.part
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != connOpen {
		if c.state != connLost {
			c.reissue++ // it is being redialled, and comes back then
		}
		return false
	}
	now := nanos()
	ready := max(d.due, place.since)
	s.offered++
	s.record(s.connWait, ready-d.due)
	s.record(s.sendLag, now-ready)
	s.inSystem += float64(now - d.due)
	c.begin(1, d.due, now)
	return true
}
