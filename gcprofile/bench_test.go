package gcprofile_test

import (
	"testing"

	"netbench/gcprofile"
	"netbench/internal/scenario"
)

// G3: settings of the collector under network load.
func BenchmarkGC(b *testing.B) { scenario.Benchmark(b, gcprofile.Scenarios()) }

// What a server with a live set costs by what each request allocates.
func BenchmarkHeap(b *testing.B) { scenario.Benchmark(b, gcprofile.Scenarios()) }
