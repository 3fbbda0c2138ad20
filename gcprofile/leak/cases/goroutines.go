package cases

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// workers has a worker for each client.
type workers struct {
	cured bool

	mu   sync.Mutex
	next int
	all  map[int]chan job
	wg   sync.WaitGroup
}

type job struct {
	n      int
	answer chan int
}

func newWorkers(_ Size, cured bool) (Component, error) {
	return &workers{cured: cured, all: map[int]chan job{}}, nil
}

// add registers a worker for a client.
func (w *workers) add() (id int, jobs chan job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	jobs = make(chan job)
	w.all[w.next] = jobs
	w.wg.Go(func() {
		for j := range jobs {
			j.answer <- j.n * j.n
		}
	})
	return w.next, jobs
}

func (w *workers) remove(id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.all[id])
	delete(w.all, id)
}

// Do is a client that comes, has one job, and goes.
func (w *workers) Do(context.Context) error {
	id, jobs := w.add()
	if w.cured {
		defer w.remove(id)
	}
	j := job{id, make(chan int, 1)}
	jobs <- j
	if <-j.answer != id*id {
		return errors.New("a worker cannot multiply")
	}
	return nil
}

// Close removes those that are still registered, hence all: this leak is one only as
// long as the server runs.
func (w *workers) Close() error {
	w.mu.Lock()
	for id, jobs := range w.all {
		close(jobs)
		delete(w.all, id)
	}
	w.mu.Unlock()
	w.wg.Wait()
	return nil
}

// lateSend asks a back end that takes longer than its caller waits.
type lateSend struct{ room int }

func newLateSend(_ Size, cured bool) (Component, error) {
	if cured {
		return &lateSend{room: 1}, nil
	}
	return &lateSend{}, nil
}

func (l *lateSend) Do(context.Context) error {
	result := make(chan int, l.room)
	go func() {
		time.Sleep(2 * time.Millisecond) // the back end
		result <- 1
	}()
	patience := time.NewTimer(time.Millisecond)
	defer patience.Stop()
	select {
	case <-result:
	case <-patience.C:
	}
	return nil
}

func (l *lateSend) Close() error { return nil }

// heartbeats has a goroutine per session that ticks.
type heartbeats struct {
	cured bool
	beats atomic.Int64
}

func newHeartbeats(_ Size, cured bool) (Component, error) { return &heartbeats{cured: cured}, nil }

// open begins a session. Its end stops the ticker, which does not close the channel of
// it.
func (h *heartbeats) open() (end func()) {
	ticker := time.NewTicker(time.Millisecond)
	over := make(chan struct{})
	if !h.cured {
		go func() {
			for range ticker.C {
				h.beats.Add(1)
			}
		}()
		return ticker.Stop
	}
	go func() {
		for {
			select {
			case <-ticker.C:
				h.beats.Add(1)
			case <-over:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(over)
	}
}

// Do is a session of some beats.
func (h *heartbeats) Do(context.Context) error {
	end := h.open()
	time.Sleep(2 * time.Millisecond)
	end()
	return nil
}

func (h *heartbeats) Close() error { return nil }
