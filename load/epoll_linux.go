package load

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
)

const defaultEngine = Epoll

// epollEngine drives connections from one locked thread for each CPU.
type epollEngine struct {
	p       *Plan
	workers []*epollWorker
	phase   atomic.Pointer[string]
}

// order is a command to a worker's thread.
type order struct {
	do   func(w *epollWorker) error
	done chan<- error
}

func newEpollEngine(p *Plan, conns int) (engine, error) {
	cpus := p.CPUs
	if len(cpus) == 0 {
		cpus = []int{-1}
	}
	cpus = cpus[:min(len(cpus), conns)]
	e := &epollEngine{p: p}
	m := newMaterial(p)
	for i, cpu := range cpus {
		share := conns / len(cpus)
		if i < conns%len(cpus) {
			share++
		}
		w, err := newEpollWorker(p, m, share, i, len(cpus))
		if err != nil {
			e.close()
			return nil, err
		}
		e.workers = append(e.workers, w)
		started := make(chan error, 1)
		go w.thread(cpu, started)
		if err := <-started; err != nil {
			e.close()
			return nil, badInput("cpus: pin a thread to CPU %d: %v (want CPUs that this process may run on)", cpu, err)
		}
	}
	return e, nil
}

// thread carries out orders on a thread of its own, which ends with it: its
// affinity must not leak into the rest of the program.
func (w *epollWorker) thread(cpu int, started chan<- error) {
	defer close(w.gone)
	runtime.LockOSThread()
	started <- pinThread(cpu)
	for o := range w.orders {
		o.done <- o.do(w)
	}
}

// each has all workers do the same at the same time, and ends them early when
// ctx does.
func (e *epollEngine) each(ctx context.Context, phase string, do func(w *epollWorker) error) error {
	e.phase.Store(&phase)
	for _, w := range e.workers {
		w.stop.Store(ctx.Err() != nil)
	}
	hooked := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(hooked)
		for _, w := range e.workers {
			w.stop.Store(true)
		}
	})
	defer func() {
		if !unhook() {
			<-hooked // it must not reach into what comes next
		}
	}()
	results := make(chan error, len(e.workers))
	for _, w := range e.workers {
		w.orders <- order{do, results}
	}
	var first error
	for range e.workers {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (e *epollEngine) dial(ctx context.Context) error {
	if e.p.Mode == Connect {
		return nil
	}
	err := e.each(ctx, "dial", (*epollWorker).dialAll)
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func (e *epollEngine) run(ctx context.Context, s segment) tally {
	release := holdGC()
	defer release()
	start := nanos() + int64(50*time.Microsecond)*int64(len(e.workers))
	quota := shares(s.requests, len(e.workers))
	before := cpu.Used()
	_ = e.each(ctx, "measure", func(w *epollWorker) error { // a worker's errors are in its tally
		w.run(s, start, quota[w.index])
		return nil
	})
	var sum tally
	for _, w := range e.workers {
		if err := sum.merge(&w.tally); err != nil {
			sum.recordErrors++
		}
	}
	// CPU time is the process's, so the workers measured the same thing.
	sum.cpu, sum.cpuAll = e.workers[0].cpu, cpu.Used()-before
	sum.took = time.Duration(nanos() - start)
	return sum
}

func (e *epollEngine) progress() (phase string, conns int, requests int64) {
	if p := e.phase.Load(); p != nil {
		phase = *p
	}
	for _, w := range e.workers {
		conns += int(w.liveConns.Load())
		requests += w.liveDone.Load()
	}
	return phase, conns, requests
}

func (e *epollEngine) close() {
	for _, w := range e.workers {
		close(w.orders)
		<-w.gone
		for i := range w.conns {
			if w.conns[i].fd >= 0 {
				_ = unix.Close(int(w.conns[i].fd))
			}
		}
		_ = unix.Close(w.ep)
	}
	e.workers = nil
}
