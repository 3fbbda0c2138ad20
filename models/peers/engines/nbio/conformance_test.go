package main

import (
	"testing"

	"netbench/models/modeltest"
	"netbench/models/peers/engines/adaptertest"
)

func TestConformance(t *testing.T) {
	for name, recommended := range map[string]bool{"nbio": false, "nbio-recommended": true} {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, newServer(recommended), adaptertest.Declare(name)...)
		})
	}
}
