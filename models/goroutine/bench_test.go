package goroutine_test

import (
	"testing"

	"netbench/internal/scenario"
	"netbench/models/goroutine"
)

// M7: closed-loop echo over the number of connections.
func BenchmarkEcho(b *testing.B) { scenario.Benchmark(b, goroutine.Scenarios()) }

// M1: a read buffer that is kept against one that is allocated for each read.
func BenchmarkBuffers(b *testing.B) { scenario.Benchmark(b, goroutine.Scenarios()) }

// M6: HTTP GET at many connections.
func BenchmarkHTTP(b *testing.B) { scenario.Benchmark(b, goroutine.Scenarios()) }

// M8: dial, exchange 13 bytes, close, rest.
func BenchmarkConnect(b *testing.B) { scenario.Benchmark(b, goroutine.Scenarios()) }

// Open loop at half of the rate that the closed loop reaches.
func BenchmarkOpen(b *testing.B) { scenario.Benchmark(b, goroutine.Scenarios()) }
