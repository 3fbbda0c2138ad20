package reactor_test

import (
	"testing"

	"netbench/internal/scenario"
	"netbench/models/reactor"
)

// M7: closed-loop echo over the number of connections.
func BenchmarkEcho(b *testing.B) { scenario.Benchmark(b, reactor.Scenarios()) }

// M6: HTTP GET at many connections.
func BenchmarkHTTP(b *testing.B) { scenario.Benchmark(b, reactor.Scenarios()) }

// M8: dial, exchange 13 bytes, close, rest.
func BenchmarkConnect(b *testing.B) { scenario.Benchmark(b, reactor.Scenarios()) }

// Open loop at half of the rate that the closed loop reaches.
func BenchmarkOpen(b *testing.B) { scenario.Benchmark(b, reactor.Scenarios()) }
