package buffers

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// Names of models/reactor, whose loops own the buffers that they read into, and of its
// variant that gives each connection one. This package does not have them: who runs
// the scenarios with these names starts them with that package's models too.
const (
	readLoop    = "reactor"
	readLoopOwn = "reactor-own-buffers"
)

// Scenarios returns what package load drives. The first part of a name is the benchmark
// that it belongs to.
//
// B1 is Read, B3 Line, the half of B6 in which the server's writes are small is Small.
func Scenarios() []scenario.Scenario {
	return append(append(readScenarios(), lineScenarios()...), smallScenarios()...)
}

// readScenarios echo messages that fit into the buffer with room to spare, and ones that
// fill it.
func readScenarios() []scenario.Scenario {
	owners := []struct{ key, model string }{
		{"each", ReadEach}, {"conn", ReadConn}, {"sync-blocked", ReadBlocked},
	}
	if canWait {
		owners = append(owners, []struct{ key, model string }{
			{"sync", ReadSync}, {"sync-value", ReadValue}, {"classes", ReadClasses},
			{"loop", readLoop}, {"loop-conn", readLoopOwn},
		}...)
	}
	var all []scenario.Scenario
	for _, size := range []int{64, 16 << 10} {
		for _, o := range owners {
			all = append(all, scenario.Scenario{
				Name: fmt.Sprintf("Read/owner=%s/buffer=16KiB/conns=100/size=%d", o.key, size),
				Server: testenv.ServerSpec{
					Model: o.model, Service: "echo", Config: models.Config{ReadBuffer: 16 << 10},
				},
				Plan: load.Plan{Conns: 100, Size: size},
			})
		}
	}
	return all
}

// lineScenarios send one line at a time, and several.
func lineScenarios() []scenario.Scenario {
	var all []scenario.Scenario
	for _, pipeline := range []int{1, 4, 16, 64} {
		for _, f := range []struct{ key, model string }{{"each", FlushEach}, {"idle", FlushIdle}} {
			all = append(all, scenario.Scenario{
				Name:   fmt.Sprintf("Line/flush=%s/conns=50/pipeline=%d", f.key, pipeline),
				Server: testenv.ServerSpec{Model: f.model, Service: "line"},
				Scheme: "line",
				Plan:   load.Plan{Conns: 50, Pipeline: pipeline},
			})
		}
	}
	return all
}

// smallScenarios answer small requests, with Nagle's algorithm and without.
func smallScenarios() []scenario.Scenario {
	ways := []struct{ key, model string }{{"joined", SmallJoined}, {"split", SmallSplit}}
	if hasCork {
		ways = append(ways, []struct{ key, model string }{{"cork", SmallCork}, {"more", SmallMore}}...)
	}
	var all []scenario.Scenario
	for _, nagle := range []struct {
		key     string
		noDelay models.Toggle
	}{{"off", models.On}, {"on", models.Off}} {
		for _, w := range ways {
			all = append(all, scenario.Scenario{
				Name: fmt.Sprintf("Small/way=%s/nagle=%s/conns=50/size=64", w.key, nagle.key),
				Server: testenv.ServerSpec{
					Model: w.model, Service: "frame", Config: models.Config{NoDelay: nagle.noDelay},
				},
				Scheme: "frame",
				Plan:   load.Plan{Conns: 50, Size: 64},
			})
		}
	}
	return all
}

// Writers are the flows of B2: 14,000 bytes, flushed, 100 times, through a bufio.Writer
// of 1 to 64 KiB and through none. In pieces of 100 bytes each buffer has something to
// join. As one write of 14,000 bytes, it is larger than the buffers up to 8 KiB, and
// bufio passes it on as it is; larger ones copy it and then write it at once: their
// size cannot matter, and who compares them so compares nothing.
func Writers(whole bool) []Flow {
	const payload, times = 14_000, 100
	record, key := 100, "pieces"
	if whole {
		record, key = payload, "whole"
	}
	var all []Flow
	for _, kib := range []int{0, 1, 4, 8, 16, 32, 64} {
		name := fmt.Sprintf("buffer=%dKiB/write=%s", kib, key)
		if kib == 0 {
			name = "buffer=none/write=" + key
		}
		all = append(all, Flow{Name: name, Order: Order{
			Bytes: payload * times, Record: record, Buffer: kib << 10, Flush: payload,
		}})
	}
	return all
}
