package zerocopy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unpaced is a congestion control that every kernel has and that does not pace.
const unpaced = "reno"

// congestions are those to compare: the host's own, and one that does not pace.
func congestions(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	require.NoError(t, err)
	if own := strings.TrimSpace(string(text)); own != unpaced {
		return []string{own, unpaced}
	}
	return []string{unpaced}
}

// The cheapest ways again, under the host's congestion control and one that does not
// pace. See [ServerConfig].
func BenchmarkSendCongestion(b *testing.B) {
	const n = 10 << 20
	path := filepath.Join(b.TempDir(), "material")
	require.NoError(b, WriteMaterial(path, 1, n))
	want := MaterialSum(1, n)
	for _, way := range []Way{{KindBuffer, 1 << 20}, {Kind: KindCopy}, {Kind: KindSendfile}, {Kind: KindMmap}} {
		for _, congestion := range congestions(b) {
			b.Run("way="+way.String()+"/congestion="+congestion+"/size="+FormatSize(n), func(b *testing.B) {
				benchSend(b, remoteOf(b, ServerConfig{File: path, Congestion: congestion}), way, n, want)
			})
		}
	}
}
