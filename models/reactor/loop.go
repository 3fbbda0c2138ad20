//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"runtime"
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

	table []*conn // by descriptor
	free  []*conn
	conns int // not closed yet
	jobs  int // of these, working

	again  []*conn // may have more input than their share of this batch
	spare  []*conn // the memory of again, in turns
	unsent []*conn // to be written at the end of the batch
	dying  []*conn // to be closed at the end of the batch

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
	for !l.over() {
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
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.closeDescriptors()
}

// over tells whether nothing is left to do after Shutdown or Close.
func (l *loop) over() bool {
	return (l.draining || l.killed) && l.conns == 0 && !l.accept.open
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
	case e.fd == l.poller.wakeFD():
		l.poller.drainWake()
		l.obey()
		return
	case e.fd == l.accept.fd():
		l.acceptSome()
		return
	}
	c := l.table[e.fd]
	if c == nil {
		return // it was closed in this batch
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

// endBatch does what was put off: deferred writes, closing, publishing counts.
func (l *loop) endBatch() {
	for i := 0; i < len(l.unsent); i++ { // writing may add to the list
		c := l.unsent[i]
		l.unsent[i], c.unsent = nil, false
		if c.out != nil {
			l.writable(c)
		}
	}
	l.unsent = l.unsent[:0]
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
		if c.queued || c.unsent {
			l.dropFromLists(c)
		}
		l.table[c.fd] = nil
		closeFD(int(c.fd))
		*c = conn{own: c.own}
		l.free = append(l.free, c)
		l.conns--
		l.counts.Active--
	}
	l.dying = l.dying[:0]
}

// dropFromLists removes a connection from the lists of later business.
func (l *loop) dropFromLists(c *conn) {
	for _, list := range []*[]*conn{&l.again, &l.unsent} {
		kept := (*list)[:0]
		for _, other := range *list {
			if other != c {
				kept = append(kept, other)
			}
		}
		*list = kept
	}
}

// slab is how many connections get their memory at once.
const slab = 64

// adopt makes a connection of a descriptor, which holds a slot.
func (l *loop) adopt(fd int) {
	if len(l.free) == 0 {
		for block, i := make([]conn, slab), 0; i < slab; i++ {
			l.free = append(l.free, &block[i])
		}
	}
	c := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	c.fd, c.need, c.slot, c.last = int32(fd), 1, none, l.now
	for len(l.table) <= fd {
		l.table = append(l.table, nil)
	}
	l.table[fd] = c
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

// post asks the loop to obey a command soon. A loop that has ended does not.
func (l *loop) post(cmd command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	l.posted = append(l.posted, cmd)
	if len(l.posted) == 1 {
		l.poller.wake()
	}
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
