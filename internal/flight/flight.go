// Package flight keeps the execution trace of the last seconds in memory, and writes it
// to a file when a request was slow: the trace shows what happened around it, which a
// profile that is taken afterwards does not.
//
// The recorder ([runtime/trace.FlightRecorder]) is on all the time and costs a few
// percent, so figures of a program that has one are not those of one that has not.
//
// What it writes is bounded in every way: at most one file in a time, at most a number
// of files in all, the oldest of which makes room, and each file appears whole or not
// at all. Who served the slow request does not wait for the disk: a goroutine of the
// recorder writes.
package flight

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"time"

	"netbench/internal/leftover"
)

// Defaults of [Config].
const (
	DefaultEvery = 10 * time.Second
	DefaultFiles = 10
	DefaultKeep  = 5 * time.Second
	DefaultBytes = 16 << 20
)

// Config says what is slow, and what is written. Zero values but for Threshold and Dir
// are defaults.
type Config struct {
	Threshold time.Duration // a request that takes longer is slow
	Dir       string        // for the traces; it is made if it is missing

	Every time.Duration // least time between two traces
	Files int           // most traces kept; the oldest make room
	Keep  time.Duration // least time that the trace reaches back, as far as Bytes permits; twice Threshold, if that is more than the default
	// Bytes is about the most that the trace takes in memory and in a file. The runtime
	// drops whole generations of about a second, so the last one or two are in the trace
	// however large they are: of a program that does very much, some ten MB a second.
	Bytes uint64

	// Log gets a line for each trace, and for each that could not be written; nil for
	// none. One at a time.
	Log func(line string)
}

const (
	prefix    = "slow-"
	suffix    = ".trace"
	unnamed   = ".tmp"
	abandoned = time.Minute // since an unnamed file was last written: whoever did is gone
)

// Recorder is a flight recorder that is on. A program has at most one.
type Recorder struct {
	config Config
	trace  *trace.FlightRecorder
	want   chan slow
	quit   chan struct{}
	done   chan struct{}
	stop   sync.Once
	err    error // of the first trace that could not be written

	mu      sync.Mutex
	last    time.Time // when a trace was last asked for
	skipped uint64
	written uint64
}

// slow is a request that was slow.
type slow struct {
	what string
	took time.Duration
	at   time.Time
}

// Start switches the recorder on. It fails if the directory cannot be written, or if
// the program has another flight recorder already.
func Start(c Config) (*Recorder, error) {
	switch {
	case c.Threshold <= 0:
		return nil, fmt.Errorf("flight recorder: the threshold is %v (want more than 0)", c.Threshold)
	case c.Dir == "":
		return nil, errors.New("flight recorder: no directory is given for traces")
	case c.Every < 0, c.Files < 0, c.Keep < 0:
		return nil, fmt.Errorf("flight recorder: Every is %v, Files %d, Keep %v (want 0 for the default, or more)", c.Every, c.Files, c.Keep)
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Files == 0 {
		c.Files = DefaultFiles
	}
	if c.Keep == 0 {
		c.Keep = max(DefaultKeep, 2*c.Threshold) // so that a slow request's beginning is in it
	}
	if c.Bytes == 0 {
		c.Bytes = DefaultBytes
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("flight recorder: %w", err)
	}
	probe, err := os.CreateTemp(c.Dir, prefix+"*"+unnamed)
	if err != nil {
		return nil, fmt.Errorf("flight recorder: no file can be made in %s: %w", c.Dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("flight recorder: %w", err)
	}
	r := &Recorder{
		config: c, want: make(chan slow, 1), quit: make(chan struct{}), done: make(chan struct{}),
		trace: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: c.Keep, MaxBytes: c.Bytes}),
	}
	if err := r.trace.Start(); err != nil {
		return nil, fmt.Errorf("flight recorder: %w", err)
	}
	go r.run()
	return r, nil
}

// Keep is the least time that a trace reaches back, as far as Config.Bytes permits.
func (r *Recorder) Keep() time.Duration { return r.config.Keep }

// Threshold is how long a request may take.
func (r *Recorder) Threshold() time.Duration { return r.config.Threshold }

// Observe tells how long a request took, and has the trace written if that was too
// long and the last one is long enough ago. It never blocks.
func (r *Recorder) Observe(what string, took time.Duration) {
	if took <= r.config.Threshold {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && now.Sub(r.last) < r.config.Every {
		r.skipped++
		return
	}
	select {
	case r.want <- slow{what, took, now}:
		r.last = now
	default: // it still writes
		r.skipped++
	}
}

// Counts are how many traces were written, and how many slow requests got none, as
// there had just been one.
func (r *Recorder) Counts() (written, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written, r.skipped
}

// Stop writes the trace that was asked for last, if it is not written yet, and switches
// the recorder off. A second Stop does nothing. The error is of the first trace that
// could not be written.
func (r *Recorder) Stop() error {
	r.stop.Do(func() {
		close(r.quit)
		<-r.done
		r.trace.Stop()
	})
	return r.err
}

func (r *Recorder) run() {
	defer close(r.done)
	for {
		select {
		case s := <-r.want:
			r.dump(s)
		case <-r.quit:
			select {
			case s := <-r.want:
				r.dump(s)
			default:
			}
			return
		}
	}
}

// dump writes one trace.
func (r *Recorder) dump(s slow) {
	name, err := r.write(s)
	if err != nil {
		if r.err == nil {
			r.err = err
		}
		r.config.Log(fmt.Sprintf("%s took %v, and its trace cannot be written: %v", s.what, s.took, err))
		return
	}
	r.mu.Lock()
	r.written++
	r.mu.Unlock()
	r.config.Log(fmt.Sprintf("%s took %v (more than %v): go tool trace %s", s.what, s.took.Round(time.Microsecond), r.config.Threshold, name))
}

func (r *Recorder) write(s slow) (name string, err error) {
	defer leftover.Owe()() // a program that is interrupted again waits for the file
	f, err := os.CreateTemp(r.config.Dir, prefix+"*"+unnamed)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first failure is the one to tell
		}
	}()
	_, err = r.trace.WriteTo(f)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if err := r.makeRoom(); err != nil {
		return "", err
	}
	name = filepath.Join(r.config.Dir, prefix+s.at.UTC().Format("20060102T150405.000000000Z")+suffix)
	return name, os.Rename(f.Name(), name)
}

// makeRoom removes the oldest traces until there is room for one, and what programs
// that were killed did not complete. The traces' names are in the order of time.
func (r *Recorder) makeRoom() error {
	entries, err := os.ReadDir(r.config.Dir)
	if err != nil {
		return err
	}
	var traces []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.Type().IsRegular() {
			continue
		}
		switch filepath.Ext(e.Name()) {
		case suffix:
			traces = append(traces, e.Name())
		case unnamed:
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
				_ = os.Remove(filepath.Join(r.config.Dir, e.Name())) // another program may have been quicker
			}
		}
	}
	slices.Sort(traces)
	for ; len(traces) >= r.config.Files; traces = traces[1:] {
		if err := os.Remove(filepath.Join(r.config.Dir, traces[0])); err != nil {
			return err
		}
	}
	return nil
}
