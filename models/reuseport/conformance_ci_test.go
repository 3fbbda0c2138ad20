//go:build ci && (linux || freebsd)

package reuseport

import (
	"testing"

	"netbench/models/modeltest"
)

func TestConformanceOfVariants(t *testing.T) {
	for over := range kinds {
		t.Run(Over(over).String(), func(t *testing.T) {
			modeltest.Run(t, Factory(Options{Over: Over(over)}), shared)
		})
	}
}
