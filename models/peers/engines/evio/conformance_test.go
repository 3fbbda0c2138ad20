package main

import (
	"testing"

	"netbench/models/modeltest"
)

func TestConformance(t *testing.T) {
	for name, recommended := range map[string]bool{"evio": false, "evio-recommended": true} {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, newServer(recommended), modeltest.Short())
		})
	}
}
