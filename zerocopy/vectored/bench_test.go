package vectored_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/internal/scenario"
	"netbench/testenv"
	"netbench/zerocopy/vectored"
)

// verify asks a server of each kind, in a process of its own, for what its scenarios
// ask for, and compares the hash of each body: the generator parses replies and does
// not look at their bodies.
func verify(b *testing.B) {
	b.Helper()
	for _, o := range vectored.All() {
		server, err := testenv.StartServer(b.Context(), testenv.ServerSpec{Model: o.Model(), Service: "http", StartTimeout: time.Minute})
		require.NoError(b, err)
		c := dial(b, server.Addr())
		for _, s := range vectored.Scenarios() {
			if s.Server.Model != o.Model() {
				continue
			}
			c.ask(b, s.Path)
			status, body := c.reply(b)
			require.Equal(b, 200, status, s.Name)
			require.EqualValues(b, s.Bytes, vectored.HeaderLen(len(body))+len(body), s.Name)
			want := make([]byte, len(body))
			for i := range want {
				want[i] = byte(i % 251)
			}
			require.Equal(b, sha256.Sum256(want), sha256.Sum256(body), s.Name)
		}
		require.NoError(b, c.Close())
		require.NoError(b, server.Stop(b.Context()))
	}
}

// Z3: replies of a header and a body of 64 B to 64 KiB, in each way, with and without
// TCP_CORK. An operation is one request.
func BenchmarkVectored(b *testing.B) {
	verify(b)
	scenario.Benchmark(b, vectored.Scenarios())
}

// Z3: the same with a body in 16 parts.
func BenchmarkParts(b *testing.B) {
	verify(b)
	scenario.Benchmark(b, vectored.Scenarios())
}
