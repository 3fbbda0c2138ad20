package cpu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFormatWritesRangesAsTheKernelDoes(t *testing.T) {
	for want, cpus := range map[string][]int{
		"any":     nil,
		"0":       {0},
		"0-1":     {1, 0},
		"0-3,8":   {8, 0, 1, 2, 3},
		"1,3,5-6": {6, 5, 3, 1},
	} {
		assert.Equal(t, want, Format(cpus))
	}
}

func TestCheckRefusesSetsThatAreNone(t *testing.T) {
	assert.NoError(t, Check(nil))
	assert.NoError(t, Check([]int{3, 1}))
	assert.ErrorContains(t, Check([]int{1, -2}), "CPU -2")
	assert.ErrorContains(t, Check([]int{1, 2, 1}), "listed twice")
}

func TestSplitGivesEachSideItsCores(t *testing.T) {
	single := func(c int) string { return string(rune('a' + c)) }
	// neighbours: CPUs 0 and 1 share a core; halves: CPUs 0 and 4 do.
	neighbours := func(c int) string { return string(rune('a' + c/2)) }
	halves := func(c int) string { return string(rune('a' + c%4)) }
	one := func(int) string { return "one" }
	for _, c := range []struct {
		name              string
		cpus              []int
		core              func(int) string
		server, generator []int
		reason            string
	}{
		{"nothing", nil, single, nil, nil, "nothing is pinned"},
		{"one CPU", []int{5}, single, []int{5}, []int{5}, "one CPU (5) only"},
		{"two cores", []int{0, 1}, single, []int{0}, []int{1}, "disjoint"},
		{"two threads of a core", []int{0, 1}, one, []int{0}, []int{1}, "threads of one core"},
		{"three cores", []int{2, 0, 1}, single, []int{0}, []int{1, 2}, "no core shared"},
		{"one core and a half", []int{0, 1, 2}, neighbours, []int{0, 1}, []int{2}, "no core shared"},
		{"three cores of two", []int{0, 1, 2, 3, 4, 5}, neighbours, []int{0, 1}, []int{2, 3, 4, 5}, "no core shared"},
		{"four cores of two", []int{0, 1, 2, 3, 4, 5, 6, 7}, halves, []int{0, 1, 4, 5}, []int{2, 3, 6, 7}, "no core shared"},
		{"five cores with gaps", []int{1, 3, 5, 7, 9}, single, []int{1, 3}, []int{5, 7, 9}, "no core shared"},
	} {
		server, generator, reason := Split(c.cpus, c.core)
		assert.Equal(t, c.server, server, c.name)
		assert.Equal(t, c.generator, generator, c.name)
		assert.Contains(t, reason, c.reason, c.name)
		assert.False(t, strings.Contains(reason, "\n"))
	}
}
