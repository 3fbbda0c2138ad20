package leak

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Detector watches a process. Its methods may be called concurrently.
type Detector struct {
	options Options
	started time.Time
	source  source
	first   map[string]int // descriptors by target, before
	method  []string

	stop    chan struct{} // sampling
	stopped chan struct{}
	end     func()
	stopAll sync.Once
	report  Report

	mu      sync.Mutex
	history *history
	ended   bool  // the load, before it was closed
	err     error // of sampling
}

// source is a process to watch.
type source interface {
	// goroutines are all that do not belong to the watch.
	goroutines() ([]goroutine, error)

	// heap collects garbage. Grown is by how many bytes the living allocations of each
	// site changed since the first call, as an estimate from the recorded ones.
	heap() (live float64, grown map[*site]inUse, err error)

	// descriptors are the open ones, or an error that is about all of them.
	descriptors() ([]descriptor, error)

	// left are goroutines that were not there at the start, after up to grace for them
	// to end.
	left(grace time.Duration) ([]goroutine, error)

	// method says by which means the above is found.
	method() []string

	// release ends the watch.
	release()
}

// Start begins to watch the process that it is in. What exists now is no leak. Stop has
// to be called.
func Start(o Options) (*Detector, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	s, err := watchSelf(o)
	if err != nil {
		return nil, err
	}
	return start(o, s)
}

// start begins to watch a source, which it releases when it fails.
func start(o Options, s source) (*Detector, error) {
	d := &Detector{
		options: o, started: time.Now(), source: s, method: s.method(),
		history: newHistory(o), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	d.end = sync.OnceFunc(func() {
		close(d.stop)
		<-d.stopped
	})
	open, err := s.descriptors()
	if err != nil {
		d.method = append(d.method, fmt.Sprintf("descriptors not watched: %v", err))
	} else {
		d.method = append(d.method, "descriptors")
	}
	d.first = countTargets(open)
	if _, _, err := s.heap(); err != nil { // which growth is counted from
		s.release()
		return nil, err
	}
	go d.run()
	return d, nil
}

// run samples until it is stopped.
func (d *Detector) run() {
	defer close(d.stopped)
	warm := time.NewTimer(d.options.Warmup)
	defer warm.Stop()
	select {
	case <-d.stop:
		return
	case <-warm.C:
	}
	tick := time.NewTicker(d.options.Interval)
	defer tick.Stop()
	for {
		d.sample()
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
	}
}

// sample takes one. Stacks come before the collection, so that their text does not
// count as live.
func (d *Detector) sample() {
	goroutines, err := d.source.goroutines()
	open, _ := d.source.descriptors() // why there are none, start has said
	at := time.Since(d.started)
	live, grown, e := d.source.heap()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err = errors.Join(err, e); err != nil {
		d.err = err
		return
	}
	d.history.add(at, reading{goroutines, live, grown, open})
}

// Findings is what grows by the samples so far, and is empty before there are a dozen.
// It is provisional: what grows now may be about to level off.
func (d *Detector) Findings() []Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.history.findings()
}

// Samples is how many were taken since the warm-up. A long watch drops every other one
// now and then.
func (d *Detector) Samples() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.history.times)
}

// EndLoad says that the load has ended, so that what happens from now on is no part of
// a trend. Call it before what was loaded is closed. Further calls do nothing.
func (d *Detector) EndLoad() {
	d.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
}

// Stop ends the watch and judges it. What the load used should be closed: what runs on
// is counted as left behind, after the grace. Without an EndLoad before, the last few
// samples may have been taken while it was closed, so what grew until one of them is
// found as well. Further calls return the same report.
func (d *Detector) Stop() Report {
	d.stopAll.Do(func() {
		d.end()
		watched := time.Since(d.started)
		d.mu.Lock()
		h, err := d.history, d.err
		found := h.findings()
		if !d.ended {
			found = h.findingsBeforeClosing()
		}
		d.mu.Unlock()
		found, e := d.leftovers(found)
		err = errors.Join(err, e)
		d.source.release()
		samples := len(h.times)
		d.report = Report{Findings: found, Samples: samples, Watched: watched, Method: d.method}
		if err != nil {
			d.report.Undecided = fmt.Sprintf("samples are missing: %v", err)
		} else if !h.enough() {
			d.report.Undecided = fmt.Sprintf("leak: %d samples in %v after a warm-up of %v, %d are needed to judge what grows (load for longer, or shorten Options.Interval, now %v)",
				samples, watched.Round(time.Millisecond), d.options.Warmup, minSamples+agreeing-1, d.options.Interval)
		}
	})
	return d.report
}
