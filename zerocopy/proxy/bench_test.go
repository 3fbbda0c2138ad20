package proxy_test

import (
	"testing"

	"netbench/internal/scenario"
	"netbench/zerocopy/proxy"
)

// Z2: echoes of 64 B to 1 MiB through the proxy, by each way of moving bytes. An
// operation is one echo, which passes the proxy twice; the generator compares every
// byte of it.
func BenchmarkProxy(b *testing.B) { scenario.Benchmark(b, proxy.Scenarios(backend(b))) }
