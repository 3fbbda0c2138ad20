package leak

import (
	"slices"
	"time"
)

// leftovers adds what there is more of than before the load, when its grace is over.
func (d *Detector) leftovers(found []Finding) ([]Finding, error) {
	end := time.Now().Add(d.options.Grace)
	all, err := d.source.left(d.options.Grace)
	if err != nil {
		return found, err
	}
	var more []Finding
	for name, g := range groups(all) {
		if g.count >= d.options.Goroutines || g.leaked > 0 {
			more = append(more, Finding{
				Kind: Goroutine, Where: name, Stack: fullStack(g.example), State: g.mostState(), Left: g.count, Proven: g.leaked,
			})
		}
	}
	found = d.merge(found, sorted(more))
	for {
		more := d.leftDescriptors()
		if len(more) == 0 || !time.Now().Before(end) {
			return d.merge(found, more), nil
		}
		time.Sleep(min(10*time.Millisecond, time.Until(end)))
	}
}

// leftDescriptors are targets that have more than before.
func (d *Detector) leftDescriptors() (more []Finding) {
	open, err := d.source.descriptors()
	if err != nil {
		return nil
	}
	exact := map[string]string{}
	for _, o := range open {
		exact[o.target] = o.exact
	}
	for target, n := range countTargets(open) {
		if n -= d.first[target]; n >= d.options.Descriptors {
			more = append(more, Finding{Kind: Descriptor, Where: target, State: exact[target], Left: n})
		}
	}
	return sorted(more)
}

// merge adds evidence to what was found before, and what was not found before.
func (d *Detector) merge(found, more []Finding) []Finding {
	for _, f := range more {
		if d.options.ignores(f.Where) {
			continue
		}
		i := slices.IndexFunc(found, func(g Finding) bool { return g.Kind == f.Kind && g.Where == f.Where })
		if i < 0 {
			found = append(found, f)
			continue
		}
		found[i].Left, found[i].Proven = f.Left, max(f.Proven, found[i].Proven)
	}
	return found
}

// countTargets counts descriptors by target.
func countTargets(open []descriptor) map[string]int {
	n := map[string]int{}
	for _, d := range open {
		n[d.target]++
	}
	return n
}
