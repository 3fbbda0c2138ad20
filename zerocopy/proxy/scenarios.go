package proxy

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// Piece is Config.ReadBuffer of all contenders, in bytes: what [Buffer] reads and
// [Splice] moves at a time. A pipe holds as much unasked.
const Piece = 64 << 10

// Conns is the number of connections of all scenarios.
const Conns = 16

// Sizes are the messages that are compared, in bytes.
func Sizes() []int {
	return []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
}

// Scenarios returns what there is to measure: each way at each size of message, in a
// closed loop of echoes through a proxy in a process of its own. upstream is the
// address of a server that echoes, which is not under test: run it where the
// generator runs. The generator compares every byte that comes back.
//
// A message passes the proxy twice, so an operation moves twice its size.
func Scenarios(upstream string) []scenario.Scenario {
	var all []scenario.Scenario
	for _, size := range Sizes() {
		for _, w := range ways {
			all = append(all, Scenario(w, size, upstream))
		}
	}
	return all
}

// Scenario is one of them.
func Scenario(w Way, size int, upstream string) scenario.Scenario {
	return scenario.Scenario{
		Name:   fmt.Sprintf("Proxy/way=%s/size=%d", w, size),
		Server: Spec(w, upstream),
		Plan:   load.Plan{Conns: Conns, Size: size},
		Bytes:  2 * int64(size),
	}
}

// Spec is the server of a way, for a program that has given [Models] to
// testenv.Main.
func Spec(w Way, upstream string) testenv.ServerSpec {
	return testenv.ServerSpec{
		Model: Model(w), Service: "echo", // which is what the upstream speaks
		Config: models.Config{ReadBuffer: Piece},
		Env:    []string{EnvUpstream + "=" + upstream},
	}
}
