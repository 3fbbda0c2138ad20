package leak

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// reading is what one sample found.
type reading struct {
	goroutines  []goroutine
	live        float64 // bytes
	grown       map[*site]inUse
	descriptors []descriptor
}

// descriptor is an open one.
type descriptor struct {
	target string // what descriptors are counted by
	exact  string // what this one leads to
}

// maxSamples is the most samples that are kept. When there are more, every other one
// is dropped, so that a long watch judges the whole of it at a coarser grain.
const maxSamples = 128

// maxSites is the most allocation sites that one judgement names.
const maxSites = 5

// history is the samples of a watch.
type history struct {
	options Options
	times   []float64 // seconds
	live    []float64

	goroutines, descriptors, bytes table
	opened                         table // objects of the sites that make descriptors

	// Of the last sample that had them:
	stacks  map[string]goroutineGroup
	sites   map[string]*site
	targets map[string]string // an exact one of each
}

// goroutineGroup is the goroutines of one origin in one sample.
type goroutineGroup struct {
	count, leaked int
	states        map[string]int
	example       goroutine
}

func newHistory(o Options) *history {
	return &history{
		options: o, stacks: map[string]goroutineGroup{}, sites: map[string]*site{}, targets: map[string]string{},
		goroutines: table{}, descriptors: table{}, bytes: table{}, opened: table{},
	}
}

// table is a value per name and sample. What a sample does not name is 0 in it.
type table map[string][]float64

// add appends a sample to those before of which there are so many.
func (t table) add(before int, sample map[string]float64) {
	for name, v := range sample {
		if t[name] == nil {
			t[name] = make([]float64, before, before+16)
		}
		t[name] = append(t[name], v)
	}
	for name, values := range t {
		if len(values) == before {
			t[name] = append(values, 0)
		}
	}
}

// thin drops every other sample, and what was 0 in all that remain.
func (t table) thin() {
	for name, values := range t {
		if values = everyOther(values); slices.ContainsFunc(values, func(v float64) bool { return v != 0 }) {
			t[name] = values
		} else {
			delete(t, name)
		}
	}
}

func everyOther(values []float64) (kept []float64) {
	for i := 0; i < len(values); i += 2 {
		kept = append(kept, values[i])
	}
	return kept
}

// groups sorts goroutines by origin.
func groups(all []goroutine) map[string]goroutineGroup {
	out := map[string]goroutineGroup{}
	for _, g := range all {
		name := g.origin()
		group := out[name]
		if group.count == 0 {
			group.states = map[string]int{}
			group.example = g
		}
		group.count++
		group.states[g.state]++
		if g.leaked {
			group.leaked++
			group.example = g
		}
		out[name] = group
	}
	return out
}

// add takes a sample.
func (h *history) add(at time.Duration, r reading) {
	before := len(h.times)
	h.times, h.live = append(h.times, at.Seconds()), append(h.live, r.live)

	counts := map[string]float64{}
	for name, g := range h.stacks { // goroutines that ended are no longer leaked
		g.leaked = 0
		h.stacks[name] = g
	}
	for name, g := range groups(r.goroutines) {
		counts[name] = float64(g.count)
		h.stacks[name] = g
	}
	h.goroutines.add(before, counts)

	counts = map[string]float64{}
	for _, d := range r.descriptors {
		counts[d.target]++
		h.targets[d.target] = d.exact
	}
	h.descriptors.add(before, counts)

	// Sites are many, so one counts from when it has grown by something.
	bytes, opened := map[string]float64{}, map[string]float64{}
	for s, u := range r.grown {
		if h.bytes[s.where] != nil || u.bytes >= float64(h.options.Heap)/16 {
			bytes[s.where] = u.bytes
			h.sites[s.where] = s
		}
		if s.opens && (h.opened[s.where] != nil || u.objects >= 1) {
			opened[s.where] = u.objects
		}
	}
	h.bytes.add(before, bytes)
	h.opened.add(before, opened)

	if len(h.times) > maxSamples {
		h.times, h.live = everyOther(h.times), everyOther(h.live)
		for _, t := range []table{h.goroutines, h.descriptors, h.bytes, h.opened} {
			t.thin()
		}
		maps.DeleteFunc(h.stacks, func(name string, _ goroutineGroup) bool { return h.goroutines[name] == nil })
		maps.DeleteFunc(h.targets, func(name string, _ string) bool { return h.descriptors[name] == nil })
		maps.DeleteFunc(h.sites, func(name string, _ *site) bool { return h.bytes[name] == nil })
	}
}

// enough tells whether there are enough samples for a trend.
func (h *history) enough() bool { return len(h.times) >= minSamples+agreeing-1 }

// until is the history without the last samples.
func (h *history) until(n int) *history {
	cut := *h
	cut.times, cut.live = h.times[:n], h.live[:n]
	cut.goroutines, cut.descriptors, cut.bytes, cut.opened = h.goroutines.until(n), h.descriptors.until(n), h.bytes.until(n), h.opened.until(n)
	return &cut
}

func (t table) until(n int) table {
	cut := table{}
	for name, values := range t {
		cut[name] = values[:n]
	}
	return cut
}

// closing is how many samples may have been taken while what was loaded was closed.
const closing = 4

// findingsBeforeClosing judges what grew, when nobody said at which sample the load had
// ended: what grew until one of the last ones is found.
func (h *history) findingsBeforeClosing() (found []Finding) {
	for n := len(h.times); n > 0 && n >= len(h.times)-closing; n-- {
		for _, f := range h.until(n).findings() {
			if !slices.ContainsFunc(found, func(g Finding) bool { return g.Kind == f.Kind && g.Where == f.Where }) {
				found = append(found, f)
			}
		}
	}
	return found
}

// findings judges what grows.
func (h *history) findings() (found []Finding) {
	found = append(found, h.growingGoroutines()...)
	found = append(found, h.growingHeap()...)
	found = append(found, h.growingDescriptors()...)
	return slices.DeleteFunc(found, func(f Finding) bool { return h.options.ignores(f.Where) })
}

func (h *history) growingGoroutines() (found []Finding) {
	for name, values := range h.goroutines {
		g := h.stacks[name]
		trend, yes := grows(h.times, values, float64(h.options.Goroutines))
		if yes || g.leaked > 0 {
			found = append(found, Finding{
				Kind: Goroutine, Where: name, Stack: fullStack(g.example), State: g.mostState(), Trend: trend, Proven: g.leaked,
			})
		}
	}
	return sorted(found)
}

// fullStack is a goroutine's stack with what created it at the end.
func fullStack(g goroutine) []Frame {
	stack := slices.Clone(g.stack)
	if g.creator.Func != "" {
		stack = append(stack, g.creator)
	}
	return stack
}

// mostState is what most goroutines of a group wait for.
func (g goroutineGroup) mostState() string {
	if len(g.states) == 0 {
		return ""
	}
	best := slices.MaxFunc(slices.Collect(maps.Keys(g.states)), func(a, b string) int {
		return cmp.Or(cmp.Compare(g.states[a], g.states[b]), cmp.Compare(b, a))
	})
	return fmt.Sprintf("%s (%d of %d)", best, g.states[best], g.count)
}

func (h *history) growingDescriptors() (found []Finding) {
	for name, values := range h.descriptors {
		if trend, yes := grows(h.times, values, float64(h.options.Descriptors)); yes {
			found = append(found, Finding{Kind: Descriptor, Where: name, State: h.targets[name], Trend: trend, Openers: h.openers()})
		}
	}
	return sorted(found)
}

// openers are the sites whose files and sockets become more. Which of them opened
// which descriptor nobody knows.
func (h *history) openers() (names []string) {
	for name, values := range h.opened {
		if _, yes := grows(h.times, values, 1); yes {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// growingHeap alarms if the whole live heap grows, and names the sites that do.
func (h *history) growingHeap() (found []Finding) {
	floor := float64(h.options.Heap)
	whole, yes := grows(h.times, h.live, floor)
	if !yes {
		return nil
	}
	for name, values := range h.bytes {
		if trend, yes := grows(h.times, values, floor/4); yes {
			found = append(found, Finding{Kind: Heap, Where: name, Stack: h.sites[name].stack, Trend: trend})
		}
	}
	if len(found) == 0 {
		return []Finding{{Kind: Heap, Where: noSite, Trend: whole}}
	}
	found = sorted(found)
	return found[:min(len(found), maxSites)]
}

// noSite is where the heap grows if no site does by itself.
const noSite = "no single allocation site"

// sorted has what is proven first, then what grows fastest.
func sorted(found []Finding) []Finding {
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Proven, a.Proven), cmp.Compare(b.Trend.Slope, a.Trend.Slope), strings.Compare(a.Where, b.Where))
	})
	return found
}
