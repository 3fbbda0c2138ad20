// Package adaptertest holds the engines against what package peers declares of
// them.
package adaptertest

import (
	"netbench/models/modeltest"
	"netbench/models/peers"
)

// Declare returns the options with which the conformance suite judges a peer.
func Declare(name string) []modeltest.Option {
	options := []modeltest.Option{modeltest.Short()}
	for _, d := range peers.Declarations(name) {
		if d.Rule != "" {
			options = append(options, modeltest.Declares(d.Rule, d.Reason))
		}
	}
	return options
}
