// Package profiles takes the runtime's profiles of this program into files, and shows
// what is largest in them.
//
// Most kinds are a state or a count since the program began, and are written at the
// end: heap, allocs, goroutine. The others are taken of a time only: cpu and trace, and
// mutex and block, which the runtime samples only when it is told to. So profiling has
// a beginning and an end, and a program is asked to profile while it has work to do.
//
// Profiling costs time, and a trace costs most, so what is measured meanwhile says
// nothing of the program as it is otherwise; and a CPU profile that is taken together
// with a trace shows the trace. Take the trace by itself.
package profiles

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
)

// Kind is one kind of profile.
type Kind string

const (
	CPU       Kind = "cpu"       // where time is spent, 100 samples for each second of CPU time
	Heap      Kind = "heap"      // what is live, by where it was allocated
	Allocs    Kind = "allocs"    // what was allocated since the program began
	Mutex     Kind = "mutex"     // who holds locks that others wait for
	Block     Kind = "block"     // where goroutines wait: channels, locks, conditions
	Goroutine Kind = "goroutine" // where all goroutines are
	Trace     Kind = "trace"     // the execution trace
)

// Kinds are all kinds, in the order in which they are shown.
var Kinds = []Kind{CPU, Heap, Allocs, Mutex, Block, Goroutine, Trace}

// List names kinds in one word, "cpu,heap".
func List(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ",")
}

// How often contention is sampled while it is profiled: every event of a lock, and one
// wait for each 10 µs that goroutines waited, as every wait on a channel would cost
// more than what most programs do between two.
const (
	mutexFraction = 1
	blockRate     = 10_000 // ns
)

// FileName is the name of a kind's file in its directory.
func (k Kind) FileName() string {
	if k == Trace {
		return "trace.out"
	}
	return string(k) + ".pprof"
}

// Recording is profiling under way.
type Recording struct {
	dir   string
	kinds []Kind
	undo  []func() error // ends what takes time, last begun first
	drop  bool           // what was written so far is removed
}

// one is held while a recording is under way: the runtime has one CPU profile, one
// trace, and one rate of each kind.
var one sync.Mutex

// Begin begins to take profiles, whose files End puts into dir, which has to exist. It
// is an error if another recording is under way.
func Begin(dir string, kinds []Kind) (_ *Recording, err error) {
	if len(kinds) == 0 {
		return nil, fmt.Errorf("no kind of profile is asked for (known: %s)", List(Kinds))
	}
	for _, k := range kinds {
		if !slices.Contains(Kinds, k) {
			return nil, fmt.Errorf("profile %q is unknown (known: %s)", k, List(Kinds))
		}
	}
	if !one.TryLock() {
		return nil, errors.New("profiles are being taken already (end that first)")
	}
	r := &Recording{dir: dir, kinds: slices.Clone(kinds)}
	defer func() {
		if err != nil {
			r.drop = true
			err = errors.Join(err, r.halt())
		}
	}()
	for _, k := range kinds {
		switch k {
		case CPU:
			err = r.stream(k, pprof.StartCPUProfile, pprof.StopCPUProfile)
		case Trace:
			err = r.stream(k, trace.Start, trace.Stop)
		case Mutex:
			before := runtime.SetMutexProfileFraction(mutexFraction)
			r.undo = append(r.undo, func() error { runtime.SetMutexProfileFraction(before); return nil })
		case Block:
			runtime.SetBlockProfileRate(blockRate)
			r.undo = append(r.undo, func() error { runtime.SetBlockProfileRate(0); return nil })
		}
		if err != nil {
			return nil, fmt.Errorf("%s profile: %w", k, err)
		}
	}
	return r, nil
}

// stream begins what the runtime writes while it goes on.
func (r *Recording) stream(k Kind, start func(io.Writer) error, stop func()) error {
	f, err := os.CreateTemp(r.dir, k.FileName()+".tmp*")
	if err != nil {
		return err
	}
	if err := start(f); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	r.undo = append(r.undo, func() error {
		stop()
		if r.drop {
			return errors.Join(f.Close(), os.Remove(f.Name()))
		}
		return r.name(f, k)
	})
	return nil
}

// name completes a file and gives it its name.
func (r *Recording) name(f *os.File, k Kind) error {
	err := f.Chmod(0o644)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(r.dir, k.FileName()))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s profile: %w", k, err), os.Remove(f.Name()))
	}
	return nil
}

// halt ends what takes time.
func (r *Recording) halt() (all error) {
	for _, undo := range slices.Backward(r.undo) {
		all = errors.Join(all, undo())
	}
	r.undo = nil
	one.Unlock()
	return all
}

// Discard ends profiling, and leaves no file of it. After End it does nothing.
func (r *Recording) Discard() error {
	if r.dir == "" {
		return nil
	}
	r.dir, r.drop = "", true
	return r.halt()
}

// End writes what is not yet written. Each file appears whole or not at all. It
// collects garbage once, so that the heap's profile is of what is live. A recording
// ends once.
func (r *Recording) End() error {
	if r.dir == "" {
		return errors.New("these profiles were ended already")
	}
	defer func() { r.dir = "" }()
	// Mutex and block first lose their rates, so that writing is not in them.
	err := r.halt()
	for _, k := range r.kinds {
		if k == CPU || k == Trace {
			continue
		}
		if k == Heap {
			runtime.GC()
		}
		f, e := os.CreateTemp(r.dir, k.FileName()+".tmp*")
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s profile: %w", k, e))
			continue
		}
		if e := pprof.Lookup(string(k)).WriteTo(f, 0); e != nil {
			err = errors.Join(err, fmt.Errorf("%s profile: %w", k, e), f.Close(), os.Remove(f.Name()))
			continue
		}
		err = errors.Join(err, r.name(f, k))
	}
	return err
}
