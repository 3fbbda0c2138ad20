// Package cpu places work on processors: which of them this process may use,
// how to divide them between a server and its load generator, and how to keep a
// process or a thread that is about to fork on a given set.
//
// Affinity belongs to threads, not to processes: a new thread inherits the mask
// of the thread that made it, and changing the mask of the main thread moves
// nobody else. Two things follow. To start a child on a set, the thread that
// forks takes the set first ([RunOn]), so that the child has it before its first
// instruction and its runtime derives GOMAXPROCS from it. To move a process that
// already runs, every thread has to be moved, again and again until no new one
// shows up ([PinProcess]).
//
// A set of CPUs is a sorted slice of their numbers as the kernel counts them. An
// empty set means "wherever the scheduler likes".
package cpu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Check returns an error if cpus holds a negative or a repeated number.
func Check(cpus []int) error {
	for i, c := range cpus {
		if c < 0 {
			return fmt.Errorf("CPU %d: a CPU's number is not negative", c)
		}
		if slices.Contains(cpus[:i], c) {
			return fmt.Errorf("CPU %d is listed twice in %v", c, cpus)
		}
	}
	return nil
}

// Format writes a set as the kernel does, for instance "0-3,8"; an empty one is
// "any".
func Format(cpus []int) string {
	if len(cpus) == 0 {
		return "any"
	}
	sorted := slices.Sorted(slices.Values(cpus))
	var b strings.Builder
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(sorted[i]))
		if j > i {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(sorted[j]))
		}
		i = j + 1
	}
	return b.String()
}

// Parse reads a set in the form of [Format], for instance "0-3,8".
func Parse(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last > 1<<16 {
			return nil, fmt.Errorf("%q in the list of CPUs %q is no CPU and no range (want a list as 0-3,8)", part, list)
		}
		for c := first; c <= last; c++ {
			cpus = append(cpus, c)
		}
	}
	slices.Sort(cpus)
	return cpus, Check(cpus)
}
