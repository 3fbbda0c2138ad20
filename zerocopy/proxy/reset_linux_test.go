package proxy_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/zerocopy/proxy"
)

// The upstream resets while the proxy is writing to it and reading from it. Only one of
// the two calls is told; the client must not take what the other sees for an end.
func TestAResetInTheMiddleOfATransferNeverLooksLikeAnEnd(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		const buffers = 16 << 10
		addr := upstream(t, func(c *net.TCPConn) {
			_, err := io.ReadFull(c, make([]byte, 10_000))
			assert.NoError(t, err)
			_, _ = c.Write([]byte("the beginning of an answer"))
			_ = c.SetLinger(0)
		})
		p := start(t, models.Config{ReadBuffer: proxy.Piece, RecvBuffer: buffers, SendBuffer: buffers}, w, addr)
		judged := 0
		for tries := 0; judged < 100; tries++ {
			require.Less(t, tries, 1000, "the reset is always there before the client has written")
			c := dial(t, p)
			// All of it fits into the client's own buffer, so this is mostly over
			// before the reset comes, which is then left for the read to find.
			require.NoError(t, c.SetWriteBuffer(200_000))
			if _, err := c.Write(make([]byte, 100_000)); err != nil {
				require.NoError(t, c.Close())
				continue
			}
			_, err := io.ReadAll(c) // which returns nil for an end
			assert.Error(t, err, "the answer looks whole")
			judged++
			require.NoError(t, c.Close())
		}
	})
}
