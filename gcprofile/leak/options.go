package leak

import (
	"fmt"
	"strings"
	"time"
)

// Options say how a process is watched. The zero value is for a load of half a
// minute and longer.
type Options struct {
	// Interval is the time between samples, 500 ms if 0, at least 1 ms. Each sample
	// collects garbage and stops the world while it writes down all stacks: about
	// 1 ms for a small process, some 10 ms for one of ten thousand goroutines.
	Interval time.Duration

	// Warmup is the time from the start of the watch to the first sample that
	// counts, 4 intervals if 0. What fills up once and for all, such as caches and
	// pools, should be full by then: as long as it fills, it looks like a leak.
	Warmup time.Duration

	// Grace is how long goroutines and descriptors may take to end after the load, 1 s
	// if 0. A goroutine or a descriptor that remains is waited for that long, so only
	// what leaks costs the time.
	Grace time.Duration

	// Goroutines, Heap and Descriptors are the least growth that is reported: of
	// goroutines of one origin, 8 if 0; of the live heap in bytes, 1 MiB if 0; of
	// descriptors of one target, 8 if 0.
	Goroutines  int
	Heap        int64
	Descriptors int

	// ProfileRate is [runtime.MemProfileRate] during the watch, 4096 if 0: one
	// allocation in so many bytes is recorded, from which the allocation site is
	// named. 1 records each, which slows allocation down several times and names
	// also those sites that allocate little. The rate from before is restored.
	ProfileRate int

	// Ignore lists what is no leak: findings whose Where contains one of these.
	Ignore []string
}

// filled is the options with defaults for what is zero.
func (o Options) filled() (Options, error) {
	switch {
	case o.Interval < 0 || o.Interval > 0 && o.Interval < time.Millisecond:
		return o, fmt.Errorf("leak: Interval is %v (use 1ms or more, or 0 for 500ms)", o.Interval)
	case o.Warmup < 0:
		return o, fmt.Errorf("leak: Warmup is %v (use 0 for 4 intervals, or a positive time)", o.Warmup)
	case o.Grace < 0:
		return o, fmt.Errorf("leak: Grace is %v (use 0 for 1s, or a positive time)", o.Grace)
	case o.Goroutines < 0 || o.Heap < 0 || o.Descriptors < 0:
		return o, fmt.Errorf("leak: least growth is %d goroutines, %d bytes, %d descriptors (none may be negative)", o.Goroutines, o.Heap, o.Descriptors)
	case o.ProfileRate < 0:
		return o, fmt.Errorf("leak: ProfileRate is %d (use 1 to record each allocation, 0 for 4096)", o.ProfileRate)
	}
	for _, s := range o.Ignore {
		if strings.TrimSpace(s) == "" {
			return o, fmt.Errorf("leak: Ignore has an empty entry, which every finding contains (remove it)")
		}
	}
	set(&o.Interval, 500*time.Millisecond)
	set(&o.Warmup, 4*o.Interval)
	set(&o.Grace, time.Second)
	set(&o.Goroutines, 8)
	set(&o.Heap, 1<<20)
	set(&o.Descriptors, 8)
	set(&o.ProfileRate, 4096)
	return o, nil
}

// set gives what is zero its default.
func set[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// ignores tells whether Ignore has a part of where.
func (o Options) ignores(where string) bool {
	for _, s := range o.Ignore {
		if strings.Contains(where, s) {
			return true
		}
	}
	return false
}
