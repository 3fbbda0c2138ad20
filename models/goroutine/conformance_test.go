package goroutine_test

import (
	"testing"

	"netbench/models/goroutine"
	"netbench/models/modeltest"
)

func TestConformance(t *testing.T) { modeltest.Run(t, goroutine.New) }

func TestConformanceOfNaiveBuffers(t *testing.T) {
	modeltest.Run(t, goroutine.Factory(goroutine.Options{NaiveBuffers: true}), modeltest.Short())
}

func TestConformanceOfLean(t *testing.T) {
	if goroutine.Models()[goroutine.NameLean] == nil {
		t.Skip("the lean variant needs Unix")
	}
	modeltest.Run(t, goroutine.Factory(goroutine.Options{Lean: true}))
}
