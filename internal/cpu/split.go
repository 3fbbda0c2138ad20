package cpu

import (
	"fmt"
	"slices"
)

// Split divides cpus between a server and a load generator.
//
// With two CPUs or more the sets are disjoint: the server gets at most half, the
// generator the rest, which is the larger part where the number is odd, as a
// generator that is the limit spoils a measurement and a server that is the
// limit is what one wants to see. Whole cores go to one side, since two hardware
// threads of a core slow each other; core names the core of a CPU, and CPUs with
// the same name share one. With a single core its threads are divided
// nevertheless, and with a single CPU both sides get it; reason says so.
func Split(cpus []int, core func(cpu int) string) (server, generator []int, reason string) {
	cpus = slices.Sorted(slices.Values(cpus))
	switch len(cpus) {
	case 0:
		return nil, nil, "no CPU is known, so nothing is pinned"
	case 1:
		return cpus, slices.Clone(cpus), fmt.Sprintf("one CPU (%d) only: server and generator share it, so rates and latencies include each other's work", cpus[0])
	}
	var cores [][]int
	index := map[string]int{}
	for _, c := range cpus {
		name := core(c)
		i, seen := index[name]
		if !seen {
			i = len(cores)
			index[name] = i
			cores = append(cores, nil)
		}
		cores[i] = append(cores[i], c)
	}
	if len(cores) == 1 {
		half := len(cpus) / 2
		return cpus[:half:half], cpus[half:], fmt.Sprintf("disjoint, but CPUs %s are threads of one core and slow each other", Format(cpus))
	}
	for i, c := range cores {
		// The server takes whole cores up to half of the CPUs, at least one
		// core, and leaves at least one.
		if len(generator) == 0 && i < len(cores)-1 && (i == 0 || len(server)+len(c) <= len(cpus)/2) {
			server = append(server, c...)
		} else {
			generator = append(generator, c...)
		}
	}
	slices.Sort(server)
	slices.Sort(generator)
	return server, generator, fmt.Sprintf("disjoint: server on %s, generator on %s, no core shared", Format(server), Format(generator))
}
