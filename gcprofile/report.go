package gcprofile

import (
	"fmt"
	"runtime"

	"netbench/testenv"
)

// Report is what a sweep measured.
type Report struct {
	Spec     Spec    `json:"spec"`
	Drive    Drive   `json:"drive"`
	Capacity float64 `json:"capacity,omitempty"` // requests a second, where it was measured
	Share    float64 `json:"share,omitempty"`    // of the capacity that the rate is
	Rounds   int     `json:"rounds"`             // that were asked for
	Seed     uint64  `json:"seed"`               // of the order within each round
	Host     Facts   `json:"host"`

	Rows     []Row    `json:"rows"`
	Warnings []string `json:"warnings"`

	// Recommendation is what Recommend said; nil if it was not asked.
	Recommendation *Recommendation `json:"recommendation,omitempty"`
}

// Facts are what the figures depend on beside the plan.
type Facts struct {
	GoVersion string `json:"go_version"`
	GOOS      string `json:"goos"`
	GOARCH    string `json:"goarch"`
	ServerCPU []int  `json:"server_cpus"`    // CPUs of the server; empty if it was not pinned
	LoadCPU   []int  `json:"generator_cpus"` // CPUs of the generator
}

func hostFacts() Facts {
	place, _ := testenv.Place() // of no consequence where it fails: Start fails too
	return Facts{runtime.Version(), runtime.GOOS, runtime.GOARCH, place.Server, place.Generator}
}

// Row is what a setting came to. Times are nanoseconds, shares 0 to 1, sizes bytes.
type Row struct {
	Setting Setting  `json:"setting"`
	Blocks  []*Block `json:"blocks"`

	P50  Figure `json:"p50_ns"` // of latency, from the due time
	P90  Figure `json:"p90_ns"`
	P99  Figure `json:"p99_ns"`
	P999 Figure `json:"p999_ns"`

	GCShare     Figure `json:"gc_share"`     // of the CPU time that the server used
	AssistShare Figure `json:"assist_share"` // the part of it by goroutines that allocate
	Collections uint64 `json:"collections"`  // of all blocks together
	PerMinute   Figure `json:"collections_per_minute"`

	PauseP50 Figure `json:"pause_p50_ns"`
	PauseP90 Figure `json:"pause_p90_ns"`
	PauseP99 Figure `json:"pause_p99_ns"`
	PauseMax Figure `json:"pause_max_ns"`
	SchedP50 Figure `json:"sched_p50_ns"`
	SchedP99 Figure `json:"sched_p99_ns"`

	PeakRSS  Figure `json:"peak_rss_bytes"`
	HeapGoal Figure `json:"heap_goal_bytes"`

	Valid      int `json:"valid"`      // blocks of whose latency more is known than that something was wrong
	Reached    int `json:"reached"`    // blocks with as many collections as asked for
	Overloaded int `json:"overloaded"` // blocks in which the server did not keep up
	Spirals    int `json:"spirals"`    // blocks that were a death spiral

	// PeakRSSAtMost and P99AtMost are what one further block is predicted not to
	// exceed, with a probability of 97.5 %; absent with fewer than three blocks. A p99
	// has the generator's lag in it where that was great.
	PeakRSSAtMost *float64 `json:"peak_rss_at_most,omitempty"`
	P99AtMost     *float64 `json:"p99_at_most_ns,omitempty"`

	late []string // quantiles of latency that the generator may have made
}

// finish computes what rows and warnings say.
func (r *Report) finish() *Report {
	r.Warnings = []string{}
	blocks := 0
	for _, w := range r.Rows {
		blocks += len(w.Blocks)
	}
	if all := r.Rounds * len(r.Rows); blocks < all {
		r.Warnings = append(r.Warnings, fmt.Sprintf("it ended early: %d of %d blocks were measured", blocks, all))
	}
	for i := range r.Rows {
		r.Rows[i].finish(r.Spec)
		r.Warnings = append(r.Warnings, r.Rows[i].warnings(r.Spec, r.Drive)...)
	}
	return r
}

func (w *Row) finish(spec Spec) {
	values := func(of func(*Block) *float64) (all []float64) {
		for _, b := range w.Blocks {
			if v := of(b); v != nil {
				all = append(all, *v)
			}
		}
		return all
	}
	number := func(v float64) *float64 { return &v }
	w.GCShare = shareOf(values(func(b *Block) *float64 { return b.GCShare }))
	w.AssistShare = shareOf(values(func(b *Block) *float64 { return b.AssistShare }))
	w.Collections = 0
	for _, b := range w.Blocks {
		w.Collections += b.Collections
	}
	w.PerMinute = meanOf(values(func(b *Block) *float64 { return number(b.CollectionsPerMinute()) }))
	w.HeapGoal = meanOf(values(func(b *Block) *float64 { return number(float64(b.HeapGoal)) }))
	peaks := values(func(b *Block) *float64 {
		if b.PeakRSS == 0 {
			return nil
		}
		return number(float64(b.PeakRSS))
	})
	w.PeakRSS = meanOf(peaks)

	if all, late, ok := mergeLatencies(w.Blocks); ok {
		w.late = late
		w.P50 = w.quantile(all.P50, func(b *Block) *int64 { return b.Latency.P50 })
		w.P90 = w.quantile(all.P90, func(b *Block) *int64 { return b.Latency.P90 })
		w.P99 = w.quantile(all.P99, func(b *Block) *int64 { return b.Latency.P99 })
		w.P999 = w.quantile(all.P999, func(b *Block) *int64 { return b.Latency.P999 })
	}
	pauses := mergeRuntime(w.Blocks, func(b *Block) testenv.Histogram { return b.pauses })
	w.PauseP50 = w.quantile(pauses.P50, func(b *Block) *int64 { return b.Pauses.P50 })
	w.PauseP90 = w.quantile(pauses.P90, func(b *Block) *int64 { return b.Pauses.P90 })
	w.PauseP99 = w.quantile(pauses.P99, func(b *Block) *int64 { return b.Pauses.P99 })
	w.PauseMax = w.quantile(pauses.Max, func(b *Block) *int64 { return b.Pauses.Max })
	waits := mergeRuntime(w.Blocks, func(b *Block) testenv.Histogram { return b.waits })
	w.SchedP50 = w.quantile(waits.P50, func(b *Block) *int64 { return b.SchedWait.P50 })
	w.SchedP99 = w.quantile(waits.P99, func(b *Block) *int64 { return b.SchedWait.P99 })

	w.Valid, w.Reached, w.Overloaded, w.Spirals = 0, 0, 0, 0
	for _, b := range w.Blocks {
		w.Valid += one(b.latencies != nil)
		w.Reached += one(b.Reached)
		w.Overloaded += one(b.Overloaded)
		w.Spirals += one(b.Spiral())
	}
	w.PeakRSSAtMost, w.P99AtMost = nil, nil
	if bound, ok := atMost(peaks); ok {
		if w.Reached < len(w.Blocks) {
			// Its heap may not have been as large as it will be one day.
			bound = max(bound, float64(spec.With(w.Setting).PeakHeap()+overhead))
		}
		w.PeakRSSAtMost = &bound
	}
	if bound, ok := atMost(values(func(b *Block) *float64 {
		if b.P99AtMost == nil {
			return nil
		}
		return number(float64(*b.P99AtMost))
	})); ok {
		w.P99AtMost = &bound
	}
}

func (w *Row) quantile(all *int64, of func(*Block) *int64) Figure {
	var each []*int64
	for _, b := range w.Blocks {
		each = append(each, of(b))
	}
	return quantileOf(all, each)
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// warnings say what a reader of the row has to know.
func (w *Row) warnings(spec Spec, d Drive) (all []string) {
	warn := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if before := spec.With(w.Setting).Warning(); before != "" {
		warn("%s", before)
	}
	n := len(w.Blocks)
	switch {
	case w.Spirals == 0:
	case w.Setting.Limit > 0:
		warn("death spiral: in %d of %d blocks of %s collections took up to %.0f %% of all CPU time, of which the runtime means to give them half at most (the limit is too near the live set: raise it)",
			w.Spirals, n, w.Setting, 100*w.worstGC())
	default:
		warn("%s: in %d of %d blocks collections took up to %.0f %% of all CPU time (give them more room by a higher GOGC, or less work by a lower rate)",
			w.Setting, w.Spirals, n, 100*w.worstGC())
	}
	if w.Reached < n {
		warn("%s: %d of %d blocks had fewer than %d collections within %v (its figures of collections are those of few, and its heap may not have had its full size)",
			w.Setting, n-w.Reached, n, d.Collections, d.Max)
	}
	if w.Overloaded > 0 {
		warn("%s: in %d of %d blocks the server did not keep up with %.0f requests/s", w.Setting, w.Overloaded, n, d.Rate)
	}
	if w.Valid < n {
		why := ""
		for _, b := range w.Blocks {
			if b.latencies == nil && len(b.Reasons) > 0 {
				why = " (" + b.Reasons[0] + ")"
				break
			}
		}
		warn("%s: latencies of %d of %d blocks do not count%s", w.Setting, n-w.Valid, n, why)
	}
	for _, late := range w.late {
		warn("%s: latency %s (it is left out; a quieter machine, or one with more CPUs, would tell)", w.Setting, late)
	}
	return all
}

func (w *Row) worstGC() (share float64) {
	for _, b := range w.Blocks {
		share = max(share, b.GCOfAll)
	}
	return share
}
