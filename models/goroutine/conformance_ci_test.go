//go:build ci

package goroutine_test

import (
	"testing"

	"netbench/models/goroutine"
	"netbench/models/modeltest"
)

// The variants by all rules, also those that what is different about them cannot
// break as far as anybody knows.
func TestConformanceOfVariants(t *testing.T) {
	t.Run(goroutine.NameNaive, func(t *testing.T) {
		modeltest.Run(t, goroutine.Factory(goroutine.Options{NaiveBuffers: true}), modeltest.Short())
	})
	t.Run(goroutine.NameLean, func(t *testing.T) {
		if goroutine.Models()[goroutine.NameLean] == nil {
			t.Skip("the lean variant needs Unix")
		}
		modeltest.Run(t, goroutine.Factory(goroutine.Options{Lean: true}))
	})
}
