package proxy_test

import (
	"testing"

	"netbench/zerocopy/proxy"
)

// Z2: what an idle proxied connection holds. An operation is the whole measurement.
func BenchmarkHeld(b *testing.B) {
	addr := backend(b)
	for _, w := range proxy.Ways() {
		b.Run("way="+string(w)+"/conns=100", func(b *testing.B) {
			var got perConn
			for b.Loop() {
				got = held(b, w, addr, 100)
			}
			b.ReportMetric(0, "ns/op") // says nothing
			b.ReportMetric(got.descriptors(), "fds/conn")
			b.ReportMetric(got.PipeBytes, "pipe-B/conn")
			b.ReportMetric(got.UserBytes, "user-B/conn")
		})
	}
}
