// Command gnet is a server of this project over github.com/panjf2000/gnet/v2. It
// speaks the control channel of package testenv and is of no use by hand.
//
// In gnet one loop accepts and deals connections out to the others, each of which
// reads a connection into the loop's one buffer and calls OnTraffic. What a write
// cannot hand to the kernel is kept in a buffer of the connection.
package main

import (
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

func main() {
	adapter.Main(map[string]models.Factory{
		"gnet":             newServer(false),
		"gnet-recommended": newServer(true),
	})
}
