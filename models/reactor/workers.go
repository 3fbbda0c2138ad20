//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"sync"

	"netbench/models"
	"netbench/models/internal/buffers"
)

// work is one request that a session may block on.
type work struct {
	loop *loop
	conn *conn
	in   []byte
}

// done is what has come of it.
type done struct {
	conn     *conn
	consumed int
	out      *buffers.Buffer
	next     models.Next
}

// workers are the goroutines that requests are handed to which may block. One is
// started when there is work and none is free, up to the limit; beyond it, work
// waits in the order in which it came.
type workers struct {
	limit int

	mu      sync.Mutex
	queue   []work
	next    int // place in queue of the one that is taken next
	idle    int
	started int
	ended   bool
	wake    *sync.Cond
	all     sync.WaitGroup
}

// do hands work over. It never blocks.
func (w *workers) do(job work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wake == nil {
		w.wake = sync.NewCond(&w.mu)
	}
	if len(w.queue) == cap(w.queue) && w.next > len(w.queue)/2 {
		// What was taken makes room, so that the queue stays as long as what waits.
		n := copy(w.queue, w.queue[w.next:])
		clear(w.queue[n:])
		w.queue, w.next = w.queue[:n], 0
	}
	w.queue = append(w.queue, job)
	switch waiting := len(w.queue) - w.next; {
	case w.idle >= waiting:
		w.wake.Signal()
	case w.started < w.limit:
		w.started++
		w.all.Go(w.run)
	}
}

// run is the life of a worker.
func (w *workers) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.next == len(w.queue) {
			if w.ended {
				return
			}
			w.idle++
			w.wake.Wait()
			w.idle--
		}
		job := w.queue[w.next]
		w.queue[w.next] = work{}
		if w.next++; w.next == len(w.queue) {
			w.queue, w.next = w.queue[:0], 0
		}
		w.mu.Unlock()
		job.run()
		w.mu.Lock()
	}
}

// stop ends the workers, when they have done all work.
func (w *workers) stop() {
	w.mu.Lock()
	w.ended = true
	if w.wake != nil {
		w.wake.Broadcast()
	}
	w.mu.Unlock()
	w.all.Wait()
}

// run does the work and gives the connection back to its loop.
func (j work) run() {
	out := j.loop.s.pool.Get(j.loop.s.cfg.ReadBuffer)
	n, reply, next := j.conn.session.(models.Blocker).Work(j.in, out.B)
	out.B = reply
	j.loop.post(command{done: done{conn: j.conn, consumed: n, out: out, next: next}})
}

// handOver gives the request that c holds to a worker. What came before it does
// not wait for that.
func (l *loop) handOver(c *conn) {
	l.flush(c)
	if c.phase != open {
		return
	}
	c.phase = working
	l.jobs++
	l.wheel.remove(c)
	l.tell(c)
	l.s.workers.do(work{loop: l, conn: c, in: c.in.B[c.off:]})
}

// workDone goes on with a connection whose request was dealt with.
func (l *loop) workDone(d done) {
	c := d.conn
	l.jobs--
	c.phase, c.last = open, l.now
	if c.killed {
		l.s.pool.Put(d.out)
		l.close(c)
		return
	}
	l.wheel.watch(c)
	l.s.pool.Put(l.out)
	l.out = d.out
	in := c.in.B[c.off:]
	ok := l.stepped(c, len(in)-d.consumed, d.consumed, d.next)
	l.keep(c, in, d.consumed)
	if ok {
		l.proceed(c)
	}
}
