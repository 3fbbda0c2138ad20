package modeltest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"go.uber.org/goleak"

	"netbench/models"
)

// process is held for writing by rules that look at the whole process, and for
// reading by all others.
var process sync.RWMutex

// probe is what one rule works with: it makes servers and peers, bounds every
// wait, and takes everything down when the rule ends.
type probe struct {
	T
	setting
	factory  models.Factory
	cleanups []func()
}

// judge runs r once.
func (r rule) judge(t T, factory models.Factory, s setting) {
	t.Helper()
	if r.alone || s.alone {
		process.Lock()
		defer process.Unlock()
	} else {
		process.RLock()
		defer process.RUnlock()
	}
	if s.leaks {
		before := takeInventory()
		defer before.compare(t)
	}
	r.perform(t, factory, s)
}

// perform makes servers, checks them and takes them down.
func (r rule) perform(t T, factory models.Factory, s setting) {
	t.Helper()
	p := &probe{T: t, setting: s, factory: factory}
	defer p.finish()
	r.check(p)
}

// finish undoes, last first, what the rule has set up.
func (p *probe) finish() {
	for len(p.cleanups) > 0 {
		last := p.cleanups[len(p.cleanups)-1]
		p.cleanups = p.cleanups[:len(p.cleanups)-1]
		last()
	}
}

// cleanup has f called when the rule ends. f must not call FailNow.
func (p *probe) cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

func (p *probe) fatalf(format string, args ...any) {
	p.Helper()
	p.Errorf(format, args...)
	p.FailNow()
}

// within calls f and reports if it takes longer than the rule's patience.
func (p *probe) within(what string, f func()) bool {
	p.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-time.After(p.patience):
		p.Errorf("%s has not returned after %v", what, p.patience)
		return false
	}
}

// await polls until condition holds, for as long as the rule is patient.
func (p *probe) await(condition func() bool) bool {
	return poll(p.patience, condition)
}

func poll(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			return condition()
		}
		<-tick.C
	}
	return true
}

// settled polls until value has not changed for as long as quiet, and returns
// it. It returns what it has when the rule's patience ends.
func (p *probe) settled(quiet time.Duration, value func() uint64) uint64 {
	last, since := value(), time.Now()
	poll(p.patience, func() bool {
		if v := value(); v != last {
			last, since = v, time.Now()
		}
		return time.Since(since) >= quiet
	})
	return last
}

// config is a configuration for the network that the rule runs on.
func (p *probe) config(service models.Service) models.Config {
	p.Helper()
	c := models.Config{Network: p.network, Service: service}
	switch p.network {
	case "tcp4":
		c.Address = "127.0.0.1:0"
	case "tcp6":
		c.Address = "[::1]:0"
	case "unix":
		dir, err := socketDir()
		if err != nil {
			p.fatalf("directory for a socket: %v", err)
		}
		p.cleanup(func() { _ = os.RemoveAll(dir) })
		c.Address = filepath.Join(dir, "s")
	}
	return c
}

// socketDir makes a directory whose path leaves room in the 107 bytes of a
// socket's address, which those of testing.T.TempDir do not always.
func socketDir() (string, error) { return os.MkdirTemp("", "mt") }

// server is a server that the rule has made.
type server struct {
	models.Server
	p      *probe
	served chan error // carries what Serve returned; nil if it was not called
}

// make creates a server that nobody serves yet. It is closed when the rule ends.
func (p *probe) make(c models.Config) *server {
	p.Helper()
	s, err := p.factory(c)
	if err != nil {
		p.fatalf("factory refuses a valid configuration: %v", err)
	}
	if s == nil {
		p.fatalf("factory returned neither a server nor an error")
	}
	srv := &server{Server: s, p: p}
	p.cleanup(srv.end)
	return srv
}

// start makes a server and serves.
func (p *probe) start(c models.Config) *server {
	p.Helper()
	srv := p.make(c)
	srv.serve()
	return srv
}

func (s *server) serve() {
	served := make(chan error, 1)
	s.served = served
	go func() { served <- s.Serve() }()
}

// end closes the server and waits for Serve.
func (s *server) end() {
	s.p.Helper()
	s.p.within("Close", func() { _ = s.Close() })
	if s.served != nil {
		select {
		case <-s.served:
		case <-time.After(s.p.patience):
			s.p.Errorf("Serve has not returned %v after Close", s.p.patience)
		}
		s.served = nil
	}
}

// serveResult waits for Serve and returns its error.
func (s *server) serveResult() error {
	s.p.Helper()
	select {
	case err := <-s.served:
		s.served = nil
		return err
	case <-time.After(s.p.patience):
		s.served = nil
		s.p.fatalf("Serve has not returned after %v", s.p.patience)
		return nil
	}
}

// awaitActive waits until n connections are open.
func (s *server) awaitActive(n int64) {
	s.p.Helper()
	if !s.p.await(func() bool { return s.Stats().Active == n }) {
		s.p.fatalf("Stats.Active is %d, want %d", s.Stats().Active, n)
	}
}

// awaitStat waits until one counter is at least n.
func (s *server) awaitStat(name string, n uint64, value func(models.Stats) uint64) {
	s.p.Helper()
	if !s.p.await(func() bool { return value(s.Stats()) >= n }) {
		s.p.fatalf("Stats.%s is %d, want %d", name, value(s.Stats()), n)
	}
}

// inventory is what a process holds.
type inventory struct {
	known       goleak.Option
	descriptors int
}

var pollerStarted sync.Once

// takeInventory notes the goroutines and descriptors of this process. The
// poller of the Go runtime opens its descriptors at the first socket and keeps
// them, so there is one before the first count.
func takeInventory() inventory {
	pollerStarted.Do(func() {
		if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
			_ = l.Close()
		}
	})
	return inventory{known: goleak.IgnoreCurrent(), descriptors: descriptorCount()}
}

// compare reports what exists beyond the inventory. It waits a moment for
// goroutines that are about to end.
func (i inventory) compare(t T) {
	t.Helper()
	if err := goleak.Find(i.known); err != nil {
		t.Errorf("goroutines were left behind: %v", err)
	}
	if i.descriptors >= 0 && !poll(time.Second, func() bool { return descriptorCount() <= i.descriptors }) {
		t.Errorf("descriptors were left behind: %d are open, there were %d", descriptorCount(), i.descriptors)
	}
}

// heapInUse returns the bytes of live objects after a collection.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// tryNetwork reports why this host lacks a network, nil if it has it.
func tryNetwork(network string) error {
	address := ""
	switch network {
	case "tcp4":
		address = "127.0.0.1:0"
	case "tcp6":
		address = "[::1]:0"
	case "unix":
		dir, err := socketDir()
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		address = filepath.Join(dir, "s")
	default:
		return fmt.Errorf("unknown network %q (want tcp4, tcp6 or unix)", network)
	}
	l, err := net.Listen(network, address)
	return errors.Join(err, closeListener(l))
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}
