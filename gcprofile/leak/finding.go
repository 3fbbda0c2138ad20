package leak

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what leaks.
type Kind string

// The kinds.
const (
	Goroutine  Kind = "goroutine"
	Heap       Kind = "heap"
	Descriptor Kind = "descriptor"
)

// Finding is a leak: what grows or was left behind, and the evidence. At least one of
// Trend, Left and Proven is set.
type Finding struct {
	Kind Kind

	// Where names what grows in one line. Of goroutines: the function that they run,
	// and the go statement. Of the heap: the first function outside the standard
	// library on the way to the allocation, with its line, and what it called; a site
	// tells more than the type, which the runtime does not record. Of descriptors:
	// what they lead to.
	Where string

	Stack   []Frame  // of a goroutine, its go statement last, or of the allocation
	State   string   // of goroutines what most wait for; of descriptors an exact target
	Openers []string // of descriptors: sites whose files and sockets grow in number

	Trend  Trend // under load; not set if Trend.Samples is 0
	Left   int   // more than before the load, after it and its grace
	Proven int   // goroutines that the runtime says nothing can wake
}

// String is the finding on a line, and its stack on lines below it.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s leak: %s", f.Kind, f.Where)
	if f.State != "" {
		fmt.Fprintf(&b, ", %s", f.State)
	}
	if f.Trend.Samples > 0 {
		fmt.Fprintf(&b, "; grows from %s", f.Trend.text(f.amount))
	}
	if f.Left > 0 {
		fmt.Fprintf(&b, "; %d left behind", f.Left)
	}
	if f.Proven > 0 {
		fmt.Fprintf(&b, "; %d can never go on, says the runtime", f.Proven)
	}
	for _, o := range f.Openers {
		fmt.Fprintf(&b, "\n\tmay be opened by %s", o)
	}
	for i, frame := range f.Stack {
		by := ""
		if f.Kind == Goroutine && i == len(f.Stack)-1 {
			by = "created by "
		}
		fmt.Fprintf(&b, "\n\t%s%s", by, frame)
	}
	return b.String()
}

// amount is a number in the unit of the kind.
func (f Finding) amount(v float64) string {
	if f.Kind != Heap {
		return fmt.Sprintf("%.4g", v)
	}
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1024 && v > -1024 {
			return fmt.Sprintf("%.4g %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.4g GiB", v)
}

// Report is the result of a watch.
type Report struct {
	Findings []Finding

	// Undecided says why trends could not be judged, and is empty if they were: a watch
	// that ends too early has not shown that nothing grows.
	Undecided string

	Samples int           // after the warm-up
	Watched time.Duration // the warm-up included
	Method  []string      // what was looked at, by which means, and what could not be
}

// String is all of the report, for a log.
func (r Report) String() string {
	var b strings.Builder
	switch {
	case len(r.Findings) > 0:
		for _, f := range r.Findings {
			fmt.Fprintln(&b, f)
		}
	case r.Undecided == "":
		fmt.Fprintln(&b, "no leak found")
	}
	if r.Undecided != "" {
		fmt.Fprintln(&b, r.Undecided)
	}
	fmt.Fprintf(&b, "%d samples in %v by %s", r.Samples, r.Watched.Round(10*time.Millisecond), strings.Join(r.Method, "; "))
	return b.String()
}
