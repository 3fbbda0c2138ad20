package main

import (
	"testing"

	"netbench/models/modeltest"
)

func TestConformance(t *testing.T) {
	for name, recommended := range map[string]bool{"netpoll": false, "netpoll-recommended": true} {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, newServer(recommended), modeltest.Short())
		})
	}
}
