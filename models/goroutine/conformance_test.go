package goroutine_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/models/goroutine"
	"netbench/models/modeltest"
)

func TestConformance(t *testing.T) { modeltest.Run(t, goroutine.New) }

// What is different about a variant is how a connection reads. All other rules
// judge the variants too, in tier ci: see TestConformanceOfVariants.

func TestConformanceOfNaiveBuffers(t *testing.T) {
	modeltest.Run(t, goroutine.Factory(goroutine.Options{NaiveBuffers: true}), modeltest.Short(),
		modeltest.Only("exact-every-split", "exact-random-splits", "pipelining", "pipelining-blocked", "many-connections",
			"session-calls", "session-need", "session-reply", "session-work", "slow-reader", "slow-reader-amplified", "no-leak", "stats-exact"))
}

func TestConformanceOfLean(t *testing.T) {
	if goroutine.Models()[goroutine.NameLean] == nil {
		t.Skip("the lean variant needs Unix")
	}
	before := []string{"limit-wait", "limit-reject", "accept-errors", "listens", "config-errors", "address-in-use"} // a connection reads
	var reading []string
	for _, r := range modeltest.Rules() {
		if !slices.Contains(before, r.Name) {
			reading = append(reading, r.Name)
		}
	}
	require.Len(t, reading, len(modeltest.Rules())-len(before), "rules that the suite has")
	modeltest.Run(t, goroutine.Factory(goroutine.Options{Lean: true}), modeltest.Only(reading...))
}
