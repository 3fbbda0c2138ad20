package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/modeltest"
	"netbench/models/peers/engines/adaptertest"
)

func TestConformance(t *testing.T) {
	// The pollers are those of the process and stay.
	require.NoError(t, configure(models.Config{}, false))
	for name, recommended := range map[string]bool{"netpoll": false, "netpoll-recommended": true} {
		t.Run(name, func(t *testing.T) {
			modeltest.Run(t, newServer(recommended), adaptertest.Declare(name)...)
		})
	}
}
