//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models/internal/buffers"
)

// loop is one event loop. What is not marked as shared is used by its goroutine
// alone.
type loop struct {
	s      *server
	number int
	poller poller
	sys    calls
	budget int // reads of one connection before it is the others' turn

	rbuf []byte          // what is read, until the session has seen it
	out  *buffers.Buffer // output of the connection that is dealt with

	table []*conn // by place: all that there ever were, those in free are dead
	free  []*conn
	conns int          // not closed yet
	load  atomic.Int32 // shared: connections that it has, or is about to get
	jobs  int          // of these, working

	again []*conn // may have more input than their share of this batch
	spare []*conn // the memory of again, in turns
	dying []*conn // to be closed at the end of the batch

	now     time.Duration // since the server was made; read once a batch
	yieldAt time.Duration // when to let other goroutines run
	wheel   wheel
	accept  acceptor

	draining bool
	killed   bool
	broken   error // why the listener is beyond use; read after accepting.Wait

	counts  counts
	told    counts      // what shared was last set to
	shared  published   // shared
	starved atomic.Bool // shared: waits for a slot

	mu      sync.Mutex // guards what follows, which is shared
	posted  []command
	taken   []command // the memory of posted, in turns
	gone    bool      // the loop takes no more commands
	closing bool      // its descriptors are closed
}

// command is something that a loop is asked to do by others: to run a function,
// or to go on with a connection whose work is done.
type command struct {
	do func(*loop)
	done
}

// yieldEvery is how long a loop that always has something to do keeps its
// processor before it lets other goroutines run: those that do its work, which is
// why it does not wait if there is some, or those that ask for statistics. The
// scheduler would take 10 ms to interrupt it.
const yieldEvery = time.Millisecond

// batch is the most events that are taken at once.
const batch = 512

func newLoop(s *server, number int) (*loop, error) {
	l := &loop{
		s: s, number: number, budget: s.opts.ReadBudget,
		rbuf: make([]byte, s.cfg.ReadBuffer),
		out:  s.pool.Get(s.cfg.ReadBuffer),
		sys:  calls{handOff: s.opts.HandOff},
	}
	l.wheel.init(s.cfg.IdleTimeout)
	if err := l.poller.open(s.opts, s.started); err != nil {
		return nil, err
	}
	return l, nil
}

// run is the life of a loop: wait for events, deal with them, do what was put
// off to the end of the batch.
func (l *loop) run() {
	defer l.s.running.Done()
	if l.s.opts.LockThread {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	l.now = time.Since(l.s.started)
	l.startAccepting()
	for !l.over() || !l.leave() {
		n := l.wait()
		l.now = time.Since(l.s.started)
		for i := range n {
			l.dispatch(l.poller.event(i))
		}
		if len(l.again) > 0 {
			l.goOn()
		}
		if l.now >= l.wheel.due {
			l.expire()
		}
		if l.accept.retryAt > 0 && l.now >= l.accept.retryAt {
			l.accept.retryAt = 0
			l.resumeAccept()
		}
		l.endBatch()
		if l.jobs > 0 || l.now >= l.yieldAt {
			l.yieldAt = l.now + yieldEvery
			runtime.Gosched()
		}
	}
	l.closeDescriptors()
}

// over tells whether nothing is left to do after Shutdown or Close.
func (l *loop) over() bool {
	return (l.draining || l.killed) && l.conns == 0 && !l.accept.open
}

// leave has the loop take no more commands, unless there are some: one may bring a
// connection.
func (l *loop) leave() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = len(l.posted) == 0
	return l.gone
}

// wait returns the number of events that there are. It does not block while
// there is something else to do.
func (l *loop) wait() int {
	if len(l.again) > 0 {
		return l.poller.poll()
	}
	until := l.wheel.due
	if l.accept.retryAt > 0 {
		until = min(until, l.accept.retryAt)
	}
	return l.poller.wait(until, l.jobs > 0)
}

func (l *loop) dispatch(e event) {
	switch {
	case e.key == keyWake:
		l.poller.drainWake()
		l.obey()
		return
	case e.key == keyListener:
		l.acceptSome() // unless it was given up in this batch
		return
	case e.key < 0:
		return
	}
	c := l.table[e.key] // it is dead if it was closed in this batch
	if e.urgent {
		c.urgent = true
	}
	if e.end {
		c.ended, c.more = true, true
	}
	if (e.out || e.end) && c.out != nil {
		l.writable(c)
	}
	if !e.in && !e.end {
		return
	}
	switch c.phase {
	case open:
		if c.paused {
			c.more = true
		} else {
			l.read(c)
		}
	case working:
		c.more = true
	case lingering:
		l.discard(c)
	}
}

// lookAgain sees to it that c is dealt with in the next batch, event or not.
func (l *loop) lookAgain(c *conn) {
	if !c.queued {
		c.queued = true
		l.again = append(l.again, c)
	}
}

// goOn gives connections another share that did not get through in their last.
func (l *loop) goOn() {
	list := l.again
	l.again = l.spare[:0]
	for i, c := range list {
		c.queued = false
		switch {
		case c.phase == open && !c.paused && c.more:
			l.read(c)
		case c.phase == lingering:
			l.discard(c)
		}
		list[i] = nil
	}
	l.spare = list[:0]
}

// endBatch does what was put off: closing, publishing counts.
func (l *loop) endBatch() {
	freed := len(l.dying)
	if freed > 0 {
		l.bury()
	}
	l.publish()
	// Only then may another loop count a connection in the place of one of these.
	for range freed {
		l.s.release()
	}
}

// publish lets others see what the loop has counted.
func (l *loop) publish() {
	if l.counts != l.told {
		l.told = l.counts
		l.shared.set(&l.counts)
	}
}

// bury closes the descriptors of connections that have ended, and keeps their
// memory for others. Nobody refers to them any more but the list of those to be
// looked at again, which is left in the next batch at the latest. Their slots are
// the caller's to release.
func (l *loop) bury() {
	for i, c := range l.dying {
		l.dying[i] = nil
		if c.queued {
			l.again = slices.DeleteFunc(l.again, func(other *conn) bool { return other == c })
		}
		closeFD(int(c.fd))
		*c = conn{own: c.own, place: c.place, phase: dead}
		l.free = append(l.free, c)
		l.conns--
		l.load.Add(-1)
		l.counts.Active--
	}
	l.dying = l.dying[:0]
}

// slab is how many connections get their memory at once.
const slab = 64

// uneven is how many more connections than another a loop has before it gives one
// that it has accepted away. Few, so that it hardly matters; more than one, so that
// connections which come and go do not wander.
const uneven = 4

// assign finds a loop for a connection that was accepted here. The kernel tells
// whichever loop waits, which on a quiet server is nearly always the same.
func (l *loop) assign(fd int) {
	to := l
	if len(l.s.loops) > 1 && !l.s.opts.Share && !l.draining {
		least := l.load.Load() - uneven
		for _, other := range l.s.loops {
			if n := other.load.Load(); n <= least {
				to, least = other, n-1
			}
		}
	}
	if to != l {
		to.load.Add(1)
		if to.post(command{do: func(l *loop) { l.take(fd) }}) {
			return
		}
		to.load.Add(-1)
	}
	l.load.Add(1)
	l.adopt(fd)
}

// take adopts a connection that another loop has accepted.
func (l *loop) take(fd int) {
	if l.killed {
		closeFD(fd)
		l.load.Add(-1)
		l.s.release()
		return
	}
	l.adopt(fd)
}

// adopt makes a connection of a descriptor, which holds a slot.
func (l *loop) adopt(fd int) {
	if len(l.free) == 0 {
		for block, i := make([]conn, slab), 0; i < slab; i++ {
			c := &block[i]
			c.place, c.phase = int32(len(l.table)), dead
			l.table = append(l.table, c)
			l.free = append(l.free, c)
		}
	}
	c := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	c.fd, c.phase, c.need, c.slot, c.last = int32(fd), open, 1, none, l.now
	l.conns++
	l.counts.Active++
	l.counts.Accepted++
	c.session = l.s.cfg.Service.Open()
	if err := l.register(c); err != nil {
		l.fail(c)
		return
	}
	l.wheel.watch(c)
	if l.draining {
		l.drain(c)
	}
}

// post asks the loop to obey a command soon. It returns false if the loop has
// ended.
func (l *loop) post(cmd command) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return false
	}
	l.posted = append(l.posted, cmd)
	if len(l.posted) == 1 {
		l.poller.wake()
	}
	return true
}

// obey does what others have asked for.
func (l *loop) obey() {
	l.mu.Lock()
	cmds := l.posted
	l.posted = l.taken[:0]
	l.mu.Unlock()
	for i, cmd := range cmds {
		if cmd.do != nil {
			cmd.do(l)
		} else {
			l.workDone(cmd.done)
		}
		cmds[i] = command{}
	}
	l.taken = cmds[:0]
}

// closeDescriptors closes what the loop has open but connections.
func (l *loop) closeDescriptors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	if !l.closing {
		l.closing = true
		l.poller.close()
	}
}

// dispose releases the descriptors of a loop that has ended or never ran.
func (l *loop) dispose() {
	l.accept.release()
	l.closeDescriptors()
}
