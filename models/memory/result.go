package memory

import (
	"netbench/testenv"
)

// Result is what was measured about one server.
type Result struct {
	Model       string   `json:"model"`
	Variant     string   `json:"variant,omitempty"`
	Service     string   `json:"service"`
	Conns       []int    `json:"conns"`
	Repetitions int      `json:"repetitions"`
	Warnings    []string `json:"warnings,omitempty"` // reasons for doubt

	// User is what a connection costs in the server's processes: the slope of
	// anonymous memory, resident or swapped out.
	User Slope `json:"user"`

	RSS Slope `json:"rss"` // resident pages, those of files too
	PSS Slope `json:"pss"` // the same, shared ones divided among those who share them

	// The Go runtime's own account, summed over the processes of a server that has
	// several; nil for a server without one.
	Heap    *Slope `json:"heap,omitempty"`    // spans in use
	Stacks  *Slope `json:"stacks,omitempty"`  // stacks of goroutines
	Runtime *Slope `json:"runtime,omitempty"` // mapped and not returned, less heap and stacks

	// KernelBothEnds is slab and TCP buffers, for the server's end and the
	// generator's end together, and KernelPerEnd is half of it, an estimate.
	KernelBothEnds Slope `json:"kernel_both_ends"`
	KernelPerEnd   Slope `json:"kernel_per_end_estimate"`
	KernelSlab     Slope `json:"kernel_slab_both_ends"`
	KernelBuffers  Slope `json:"kernel_tcp_buffers_both_ends"`

	Points []Point `json:"points"`
}

// Point is what there was at one number of connections, in bytes.
type Point struct {
	Repetition int `json:"repetition"` // from 1
	Conns      int `json:"conns"`
	Tree
	Go     *GoMemory            `json:"go,omitempty"`
	Kernel testenv.KernelMemory `json:"kernel"`
}

// Tree is the memory of a process and its descendants, in bytes.
type Tree struct {
	Processes int    `json:"processes"` // a number
	RSS       uint64 `json:"rss"`
	PSS       uint64 `json:"pss"`
	Anonymous uint64 `json:"anonymous"` // resident pages that belong to no file
	Huge      uint64 `json:"huge"`      // of these, those in huge pages
	Swap      uint64 `json:"swap"`
}

// User is what belongs to no file, wherever it is.
func (t Tree) User() uint64 { return t.Anonymous + t.Swap }

// GoMemory is what a server's Go runtime accounts for, in bytes.
type GoMemory struct {
	Heap       uint64 `json:"heap"`
	Stacks     uint64 `json:"stacks"`
	Runtime    uint64 `json:"runtime"`
	Goroutines int    `json:"goroutines"` // a number
}

// fit turns the points into slopes.
func (r *Result) fit() {
	line := func(y func(Point) uint64) Slope {
		return slopeOf(r.Points, func(p Point) float64 { return float64(y(p)) })
	}
	r.User = line(func(p Point) uint64 { return p.User() })
	r.RSS = line(func(p Point) uint64 { return p.RSS })
	r.PSS = line(func(p Point) uint64 { return p.PSS })
	r.KernelSlab = line(func(p Point) uint64 { return p.Kernel.Slab })
	r.KernelBuffers = line(func(p Point) uint64 { return p.Kernel.TCP })
	r.KernelBothEnds = line(func(p Point) uint64 { return p.Kernel.Slab + p.Kernel.TCP })
	r.KernelPerEnd = r.KernelBothEnds.times(0.5)
	known := true
	for _, p := range r.Points {
		known = known && p.Go != nil
		if p.Swap > 0 {
			r.warn("user: some of the server's memory was swapped out (it is counted)")
		}
		if p.Huge > 0 {
			r.warn("user: the server has memory in huge pages, of which a connection may be charged a part that it does not use")
		}
	}
	if known {
		heap := line(func(p Point) uint64 { return p.Go.Heap })
		stacks := line(func(p Point) uint64 { return p.Go.Stacks })
		rest := line(func(p Point) uint64 { return p.Go.Runtime })
		r.Heap, r.Stacks, r.Runtime = &heap, &stacks, &rest
	}
}
