package modeltest

import (
	"net"
	"sync"
	"syscall"
	"time"

	"netbench/models"
)

var limitRules = []rule{
	{
		name:  "limit-wait",
		doc:   "With Wait, connections beyond MaxConns stay in the kernel's backlog, without a descriptor, and are served when others end.",
		check: checkLimitWait,
		alone: true,
	},
	{
		name:  "limit-reject",
		doc:   "With Reject, connections beyond MaxConns are closed at once without a byte and counted, and no descriptor is lost.",
		check: checkLimitReject,
		alone: true,
	},
	{
		name:    "accept-errors",
		doc:     "When the process runs out of descriptors, the server serves those it has, retries without spinning, and accepts again as soon as it can.",
		check:   checkAcceptErrors,
		alone:   true,
		lacking: lacksDescriptorLimit,
	},
}

func checkLimitWait(p *probe) {
	const limit, all = 3, 9
	j := new(journal)
	c := p.config(messages{maxBody: 100, journal: j})
	c.MaxConns = limit
	c.IdleTimeout = models.NoLimit
	s := p.start(c)
	req, reply := request(opEcho, []byte("hello"))

	before := takeInventory().descriptors
	// The slots are used up twice, first orderly, then by resets: a server that
	// does not give one back fails the second time.
	for round, leave := range []func(*peer){func(c *peer) { _ = c.Close() }, resetOrClose} {
		first := p.dialAll(s, limit)
		for _, c := range first {
			c.ask(req, reply)
		}
		waiting := p.dialAll(s, all-limit)
		for _, c := range waiting {
			c.send(req)
		}
		if !waiting[0].silent(aWhile) {
			p.fatalf("round %d: a connection beyond MaxConns was answered or closed", round)
		}
		opened := j.opened.Load() - int64(round*all)
		if active := s.Stats().Active; active != limit || opened != limit {
			p.Errorf("round %d: %d connections are active and %d sessions were opened, want MaxConns, %d", round, active, opened, limit)
		}
		if now := descriptorCount(); before >= 0 && now > before+all+limit {
			p.Errorf("round %d: the server holds %d descriptors for connections, want MaxConns, %d: the others should wait in the backlog",
				round, now-before-all, limit)
		}
		// In which order those that wait are served is not said: there may be
		// several backlogs.
		type outcome struct {
			c   *peer
			err error
		}
		served := make(chan outcome, len(waiting))
		for _, c := range waiting {
			go func() { served <- outcome{c, c.tryExpect(reply)} }()
		}
		open := first
		for range waiting {
			leave(open[0])
			next := <-served
			if next.err != nil {
				p.fatalf("round %d: a connection that waited for one of MaxConns to end: %v", round, next.err)
			}
			open = append(open[1:], next.c)
			if active := s.Stats().Active; active > limit {
				p.Errorf("round %d: %d connections are active, MaxConns is %d", round, active, limit)
			}
		}
		for _, c := range open {
			leave(c)
		}
		s.awaitActive(0)
	}
	s.noDescriptorLost(before)
}

// resetOrClose resets a connection where its kind can be.
func resetOrClose(c *peer) {
	if _, ok := c.Conn.(*net.TCPConn); ok {
		c.reset()
		return
	}
	_ = c.Close()
}

// noDescriptorLost compares the open descriptors with those before, once all
// connections are gone.
func (s *server) noDescriptorLost(before int) {
	s.p.Helper()
	if before >= 0 && !s.p.await(func() bool { return descriptorCount() <= before }) {
		s.p.Errorf("%d descriptors are open when all connections are closed, there were %d before them", descriptorCount(), before)
	}
}

func checkLimitReject(p *probe) {
	const limit, surplus = 3, 5
	c := p.config(messages{maxBody: 100})
	c.MaxConns, c.OnLimit, c.IdleTimeout = limit, models.Reject, models.NoLimit
	s := p.start(c)
	req, reply := request(opEcho, []byte("hello"))
	before := takeInventory().descriptors
	for round := range uint64(2) {
		first := p.dialAll(s, limit)
		for _, c := range first {
			c.ask(req, reply)
		}
		for range surplus {
			c := p.dial(s)
			c.expectGone()
			_ = c.Close()
		}
		s.awaitStat("Rejected", (round+1)*surplus, func(s models.Stats) uint64 { return s.Rejected })
		stats := s.Stats()
		if want := (round + 1) * surplus; stats.Rejected != want {
			p.Errorf("Stats.Rejected is %d, want %d", stats.Rejected, want)
		}
		if want := (round + 1) * limit; stats.Accepted != want || stats.Active != limit {
			p.Errorf("Stats.Accepted is %d and Active %d, want %d and %d: rejected connections do not count", stats.Accepted, stats.Active, want, limit)
		}
		for _, c := range first {
			c.ask(req, reply)
			_ = c.Close()
		}
		s.awaitActive(0)
	}
	s.noDescriptorLost(before)
}

func checkAcceptErrors(p *probe) {
	const (
		phase = time.Second
		// A server that backs off uses next to nothing; one that spins uses a
		// core, or at least whatever share of one the host has left.
		mayUse   = phase * 3 / 10
		mayRetry = 2000
	)
	c := p.config(messages{maxBody: 100})
	c.IdleTimeout = models.NoLimit
	s := p.start(c)
	req, reply := request(opEcho, []byte("hello"))
	early := p.dial(s)
	early.ask(req, reply)

	// The peers' own descriptors are made before there are none: each dial
	// stops between socket and connect.
	const late = 3
	type dialed struct {
		conn net.Conn
		err  error
	}
	exhausted := make(chan struct{})
	release := sync.OnceFunc(func() { close(exhausted) })
	ready, arrived := make(chan struct{}, late), make(chan dialed, late)
	for range late {
		go func() {
			d := net.Dialer{Timeout: 3 * p.patience, Control: func(string, string, syscall.RawConn) error {
				ready <- struct{}{}
				<-exhausted
				return nil
			}}
			conn, err := d.Dial(s.Addr().Network(), s.Addr().String())
			arrived <- dialed{conn, err}
		}()
	}
	taken := 0
	p.cleanup(func() { // what an early end of the rule left on the way
		release()
		for ; taken < late; taken++ {
			if d := <-arrived; d.err == nil {
				_ = d.conn.Close()
			}
		}
	})
	for range late {
		<-ready
	}

	restore, err := exhaustDescriptors()
	if err != nil {
		p.fatalf("descriptors cannot be exhausted: %v", err)
	}
	restored := false
	defer func() {
		if !restored {
			_ = restore()
		}
	}()
	used, cpuErr := processCPU()
	if cpuErr != nil {
		p.fatalf("CPU time: %v", cpuErr)
	}
	release()
	var peers []*peer
	for range late {
		d := <-arrived
		taken++
		if d.err != nil {
			p.fatalf("connect while the server has no descriptors: %v", d.err)
		}
		peers = append(peers, &peer{Conn: d.conn, p: p})
		p.cleanup(func() { _ = d.conn.Close() })
	}
	for _, c := range peers {
		c.send(req)
	}
	answered := !peers[0].silent(phase / 2)
	early.ask(req, reply)
	answered = answered || !peers[0].silent(phase/2)
	now, cpuErr := processCPU()
	if cpuErr != nil {
		p.fatalf("CPU time: %v", cpuErr)
	}
	stats := s.Stats()
	restored = true
	if err := restore(); err != nil {
		p.fatalf("the limit of descriptors cannot be restored: %v", err)
	}

	if answered {
		p.fatalf("a connection was answered or closed though the process had no descriptor left for it")
	}
	if stats.AcceptErrors == 0 {
		p.Errorf("Stats.AcceptErrors is 0 after %v in which every accept failed", phase)
	}
	if stats.AcceptErrors > mayRetry {
		p.Errorf("%d accepts failed in %v, want at most %d: the server spins", stats.AcceptErrors, phase, mayRetry)
	}
	if cpu := now - used; cpu > mayUse {
		p.Errorf("the process used %v of CPU time in %v in which every accept failed, want at most %v: the server spins", cpu, phase, mayUse)
	}
	for _, c := range peers {
		c.expect(reply)
	}
	early.ask(req, reply)
	p.dial(s).ask(req, reply)
}
