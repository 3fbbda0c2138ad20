//go:debug multipathtcp=0

// Command evio is a server of this project over github.com/tidwall/evio. It
// speaks the control channel of package testenv and is of no use by hand.
//
// In evio every loop accepts; a loop reads a connection into its one buffer of
// 64 KiB and calls Data, and what that returns is copied and written when the
// socket is found to be writable, one more round later. Nothing is read from a
// connection meanwhile.
//
// evio listens by package net, which would listen with Multipath TCP.
package main

import (
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

func main() {
	adapter.Main(map[string]models.Factory{
		"evio":             newServer(false),
		"evio-recommended": newServer(true),
	})
}
