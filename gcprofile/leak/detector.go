package leak

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"
)

// watching tells whether a detector does. There can be one: what it looks at belongs
// to the whole process.
var watching atomic.Bool

// ErrWatching is returned by [Start] while another detector watches the process.
var ErrWatching = errors.New("leak: another detector watches this process (stop it first; tests that watch cannot be parallel)")

// Detector watches the process that it is in. Its methods may be called concurrently.
type Detector struct {
	options Options
	started time.Time
	known   goleak.Option // goroutines from before
	rate    int           // of the memory profile, before
	heap    heapReader
	first   map[string]int  // descriptors by target, before
	lost    map[uint64]bool // goroutines that had leaked before
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

// Start begins to watch. What exists now is no leak. Stop has to be called.
func Start(o Options) (*Detector, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if !watching.CompareAndSwap(false, true) {
		return nil, ErrWatching
	}
	d := &Detector{
		options: o, started: time.Now(), known: goleak.IgnoreCurrent(), rate: runtime.MemProfileRate,
		heap: heapReader{rate: o.ProfileRate, sites: map[[32]uintptr]*site{}, places: map[string]*site{}},
		lost: map[uint64]bool{}, history: newHistory(o), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	d.end = sync.OnceFunc(func() {
		close(d.stop)
		<-d.stopped
	})
	runtime.MemProfileRate = o.ProfileRate
	d.method = []string{"stacks of goroutines, goleak after the load"}
	if leakProfile() != nil {
		d.method = append(d.method, "the runtime's goroutine leak profile")
	} else {
		d.method = append(d.method, "no goroutine leak profile in this toolchain (Go 1.26 builds it with GOEXPERIMENT=goroutineleakprofile)")
	}
	d.method = append(d.method, fmt.Sprintf("live heap after collections, allocation sites at a profile rate of %d", o.ProfileRate))
	open, err := descriptors()
	if err != nil {
		d.method = append(d.method, fmt.Sprintf("descriptors not watched: %v", err))
	} else {
		d.method = append(d.method, "descriptors")
	}
	d.first = countTargets(open)
	if err := d.sampleFirst(); err != nil {
		runtime.MemProfileRate = d.rate
		watching.Store(false)
		return nil, err
	}
	go d.run()
	return d, nil
}

// sampleFirst sets what growth is counted from.
func (d *Detector) sampleFirst() error {
	d.heap.read()
	text, err := dump()
	if err != nil {
		return err
	}
	all := parseDump(text)
	if len(all) == 0 {
		return errors.New("leak: the stacks of goroutines are in a form that is not known (this toolchain is too new or too old)")
	}
	for _, g := range all {
		if g.leaked {
			d.lost[g.id] = true
		}
	}
	return nil
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
	goroutines, err := d.goroutines()
	open, _ := descriptors() // why there are none, Start has said
	at := time.Since(d.started)
	live, grown := d.heap.read()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.err = err
		return
	}
	d.history.add(at, reading{goroutines, live, grown, open})
}

// goroutines are all but the one of the detector.
func (d *Detector) goroutines() ([]goroutine, error) {
	text, err := dump()
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(parseDump(text), func(g goroutine) bool {
		return len(g.stack) > 0 && g.stack[len(g.stack)-1].Func == ownType+"run"
	})
	for i := range all {
		all[i].leaked = all[i].leaked && !d.lost[all[i].id]
	}
	return all, nil
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
		found = d.leftovers(found)
		runtime.MemProfileRate = d.rate
		samples := len(h.times)
		d.report = Report{Findings: found, Samples: samples, Watched: watched, Method: d.method}
		if err != nil {
			d.report.Undecided = fmt.Sprintf("leak: samples are missing: %v", err)
		} else if !h.enough() {
			d.report.Undecided = fmt.Sprintf("leak: %d samples in %v after a warm-up of %v, %d are needed to judge what grows (load for longer, or shorten Options.Interval, now %v)",
				samples, watched.Round(time.Millisecond), d.options.Warmup, minSamples+agreeing-1, d.options.Interval)
		}
		d.heap = heapReader{} // which may be large
		watching.Store(false)
	})
	return d.report
}
