// Command fasthttp is a server of this project over github.com/valyala/fasthttp.
// It speaks the control channel of package testenv and is of no use by hand.
//
// Fasthttp gives each connection a goroutine from a pool and parses HTTP itself,
// so of the services it runs http alone, by handlers that answer what models.HTTP
// answers.
package main

import (
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

func main() {
	adapter.Main(map[string]models.Factory{
		"fasthttp":             newServer(false),
		"fasthttp-recommended": newServer(true),
	})
}
