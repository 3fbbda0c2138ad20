// Command netpoll is a server of this project over github.com/cloudwego/netpoll.
// It speaks the control channel of package testenv and is of no use by hand.
//
// In netpoll pollers read into a chain of buffers of the connection, and a
// goroutine from a pool calls OnRequest, which may block; so do writes, until the
// kernel has taken all.
package main

import (
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

func main() {
	adapter.Main(map[string]models.Factory{
		"netpoll":             newServer(false),
		"netpoll-recommended": newServer(true),
	})
}
