//go:build linux || freebsd

package reuseport

import (
	"testing"

	"netbench/models/modeltest"
)

// The address of a Unix socket cannot be shared.
func TestConformance(t *testing.T) {
	for over := range kinds {
		t.Run(Over(over).String(), func(t *testing.T) {
			modeltest.Run(t, Factory(Options{Over: Over(over)}), modeltest.Networks("tcp4", "tcp6"))
		})
	}
}
