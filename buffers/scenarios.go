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
// fill it. Of what pools are done wrong by, the small ones tell all that there is.
func readScenarios() []scenario.Scenario {
	type owner struct{ key, model string }
	owners := []owner{{"each", ReadEach}, {"conn", ReadConn}}
	wrong := []owner{{"sync-blocked", ReadBlocked}}
	if canWait {
		owners = append(owners, []owner{
			{"sync", ReadSync}, {"classes", ReadClasses}, {"loop", readLoop}, {"loop-conn", readLoopOwn},
		}...)
		wrong = append(wrong, owner{"sync-value", ReadValue})
	}
	var all []scenario.Scenario
	add := func(size int, o owner) {
		all = append(all, scenario.Scenario{
			Name: fmt.Sprintf("Read/owner=%s/buffer=16KiB/conns=100/size=%d", o.key, size),
			Server: testenv.ServerSpec{
				Model: o.model, Service: "echo", Config: models.Config{ReadBuffer: 16 << 10},
			},
			Plan:  load.Plan{Conns: 100, Size: size},
			Bytes: 2 * int64(size),
		})
	}
	for _, o := range append(owners, wrong...) {
		add(64, o)
	}
	for _, o := range owners {
		add(16<<10, o)
	}
	return all
}

// pingPong is the bytes of the line that load sends, and of its reply.
const pingPong = int64(len("ping\n") + len("pong\n"))

// lineScenarios send one line at a time, and several.
func lineScenarios() []scenario.Scenario {
	var all []scenario.Scenario
	for _, pipeline := range []int{1, 16, 64} {
		for _, f := range []struct{ key, model string }{{"each", FlushEach}, {"idle", FlushIdle}} {
			all = append(all, scenario.Scenario{
				Name:   fmt.Sprintf("Line/flush=%s/conns=50/pipeline=%d", f.key, pipeline),
				Server: testenv.ServerSpec{Model: f.model, Service: "line"},
				Scheme: "line",
				Plan:   load.Plan{Conns: 50, Pipeline: pipeline},
				Bytes:  pingPong,
			})
		}
	}
	return all
}

// smallScenarios answer small requests, with Nagle's algorithm and without. Of the ways
// that make one packet of two writes, which Nagle's algorithm does not concern, one is
// enough with it.
func smallScenarios() []scenario.Scenario {
	var all []scenario.Scenario
	add := func(way, model, nagle string, noDelay models.Toggle) {
		const size = 64
		all = append(all, scenario.Scenario{
			Name: fmt.Sprintf("Small/way=%s/nagle=%s/conns=50/size=%d", way, nagle, size),
			Server: testenv.ServerSpec{
				Model: model, Service: "frame", Config: models.Config{NoDelay: noDelay},
			},
			Scheme: "frame",
			Plan:   load.Plan{Conns: 50, Size: size},
			Bytes:  2 * (smallHeader + size),
		})
	}
	add("joined", SmallJoined, "off", models.On)
	add("split", SmallSplit, "off", models.On)
	if hasCork {
		add("cork", SmallCork, "off", models.On)
		add("more", SmallMore, "off", models.On)
	}
	add("joined", SmallJoined, "on", models.Off)
	add("split", SmallSplit, "on", models.Off)
	if hasCork {
		add("cork", SmallCork, "on", models.Off)
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
