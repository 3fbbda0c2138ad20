package monitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"netbench/internal/sampling"
)

// ErrRunning is the error of a [Monitor.Start] while the monitor runs.
var ErrRunning = errors.New("monitor: it runs already (stop it first)")

// Monitor watches the program that it is in. Its methods may be called from several
// goroutines.
type Monitor struct {
	config Config
	source func() totals

	// running is held by Start and Stop. It is not held while Stop waits.
	running sync.Mutex
	loop    *sampling.Loop[Sample]

	mu      sync.Mutex
	last    Sample
	taken   uint64 // samples
	told    map[Rule]uint64
	raised  map[Rule]bool
	dropped uint64
}

// New makes a monitor that does nothing until Start. The error is a [*ConfigError].
func New(c Config) (*Monitor, error) {
	c, err := c.normalize()
	if err != nil {
		return nil, err
	}
	m := &Monitor{config: c, told: map[Rule]uint64{}, raised: map[Rule]bool{}}
	m.source = newRuntimeSource().read
	return m, nil
}

// Config is the monitor's configuration, with its defaults filled in.
func (m *Monitor) Config() Config { return m.config }

// Start takes a first sample, against which levels are judged at once and rates from
// the next one on, and goes on until ctx ends or Stop. The channel gets the alerts and
// is closed when the sampling has ended; it need not be read.
//
// After Stop it may be started again: intervals, rules and the channel begin anew, the
// counts of samples and alerts go on. While it runs the error is [ErrRunning].
func (m *Monitor) Start(ctx context.Context) (<-chan Alert, error) {
	m.running.Lock()
	defer m.running.Unlock()
	if m.loop != nil {
		select {
		case <-m.loop.Done():
		default:
			return nil, ErrRunning
		}
	}
	r := &run{m: m, alerts: make(chan Alert, m.config.Queue)}
	for _, rule := range m.config.rules() {
		r.rules = append(r.rules, watched{rule: rule})
	}
	s := &sampler{source: m.source, now: m.config.Now, quantile: m.config.PauseQuantile}
	m.mu.Lock()
	clear(m.raised)
	m.mu.Unlock()
	loop, err := sampling.Start(ctx, sampling.Plan[Sample]{
		Every: m.config.Every,
		Now:   func() time.Time { return s.at }, // a sample has its own time
		Read: func() Sample {
			sample := s.sample()
			r.judge(sample)
			return sample
		},
		End: func() { close(r.alerts) },
	})
	if err != nil {
		return nil, err
	}
	m.loop = loop
	return r.alerts, nil
}

// Stop ends the sampling and waits for its goroutine. A second Stop, or one before
// Start, does nothing.
func (m *Monitor) Stop() {
	m.running.Lock()
	loop := m.loop
	m.running.Unlock()
	if loop != nil {
		loop.Stop()
	}
}

// Last is the newest sample; ok is false before the first.
func (m *Monitor) Last() (s Sample, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.taken > 0
}

// Dropped is the number of alerts that nobody took in time.
func (m *Monitor) Dropped() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// run is the time between a Start and its Stop.
type run struct {
	m      *Monitor
	alerts chan Alert // only the sampling goroutine sends, and closes
	rules  []watched
}

// judge keeps a sample and tells what is to be told of it.
func (r *run) judge(s Sample) {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = s
	m.taken++
	for i := range r.rules {
		w := &r.rules[i]
		alert, tell := w.judge(&m.config, &s)
		m.raised[w.name] = w.raised
		if !tell {
			continue
		}
		if alert.State != Over {
			m.told[w.name]++
		}
		select {
		case r.alerts <- alert:
		default:
			m.dropped++
		}
	}
}
