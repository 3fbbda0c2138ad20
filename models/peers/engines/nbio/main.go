// Command nbio is a server of this project over github.com/lesismal/nbio. It
// speaks the control channel of package testenv and is of no use by hand.
//
// In nbio a goroutine accepts and deals connections out to pollers by their
// descriptors; a poller reads into its one buffer and calls OnData. What a write
// cannot hand to the kernel is kept in a list of the connection.
package main

import (
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

func main() {
	adapter.Main(map[string]models.Factory{
		"nbio":             newServer(false),
		"nbio-recommended": newServer(true),
	})
}
