package proxy_test

import (
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/zerocopy/proxy"
)

// digest is the SHA-256 of a stream.
type digest = [sha256.Size]byte

func sum(h hash.Hash) digest { return digest(h.Sum(nil)) }

// sendRandom sends total random bytes in pieces of random sizes, most of them small,
// and ends the stream. It returns the digest of what it sent.
func sendRandom(c *net.TCPConn, seed uint64, total int) (digest, error) {
	var key [32]byte
	key[0] = byte(seed)
	content := rand.NewChaCha8(key)
	sizes := rand.New(rand.NewPCG(seed, 1))
	h := sha256.New()
	buf := make([]byte, 1<<18)
	for total > 0 {
		piece := buf[:min(total, 1+sizes.IntN(1<<sizes.IntN(19)))]
		_, _ = content.Read(piece) // never fails
		h.Write(piece)
		if _, err := c.Write(piece); err != nil {
			return digest{}, err
		}
		total -= len(piece)
	}
	return sum(h), c.CloseWrite()
}

// receive reads a stream to its end in pieces of random sizes.
func receive(c *net.TCPConn, seed uint64) (digest, error) {
	sizes := rand.New(rand.NewPCG(seed, 2))
	h := sha256.New()
	buf := make([]byte, 1<<17)
	for {
		n, err := c.Read(buf[:1+sizes.IntN(1<<sizes.IntN(18))])
		h.Write(buf[:n])
		if err == io.EOF {
			return sum(h), nil
		}
		if err != nil {
			return digest{}, err
		}
	}
}

func TestBytesOfRandomSizesArriveIntactInBothDirectionsAtOnce(t *testing.T) {
	const conns, total = 4, 4 << 20
	const size = 20_000 // of a piece in the proxy: no power of two
	everyWay(t, func(t *testing.T, w proxy.Way) {
		var mu sync.Mutex
		var arrived []digest // at the upstream
		var sent digest      // by the upstream, on every connection alike
		addr := upstream(t, func(c *net.TCPConn) {
			var sending sync.WaitGroup
			sending.Go(func() {
				d, err := sendRandom(c, 99, total)
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				sent = d
			})
			d, err := receive(c, 7)
			assert.NoError(t, err)
			sending.Wait()
			mu.Lock()
			defer mu.Unlock()
			arrived = append(arrived, d)
		})
		p := start(t, models.Config{ReadBuffer: size}, w, addr)
		var clients sync.WaitGroup
		given, got := make([]digest, conns), make([]digest, conns)
		for i := range conns {
			c := dial(t, p)
			clients.Go(func() {
				d, err := sendRandom(c, uint64(i), total)
				assert.NoError(t, err)
				given[i] = d
			})
			clients.Go(func() {
				d, err := receive(c, uint64(i))
				assert.NoError(t, err)
				got[i] = d
			})
		}
		clients.Wait()
		require.Eventually(t, func() bool { return p.Stats().Active == 0 }, patience, 5*time.Millisecond)
		require.Eventually(t, func() bool { // what the proxy is done with, the upstream may not have read
			mu.Lock()
			defer mu.Unlock()
			return len(arrived) == conns
		}, patience, 5*time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		assert.ElementsMatch(t, given, arrived, "what the upstream got")
		for i := range got {
			assert.Equal(t, sent, got[i], "what client %d got", i)
		}
		stats := p.Stats()
		assert.EqualValues(t, conns*total, stats.BytesIn)
		assert.EqualValues(t, conns*total, stats.BytesOut)
		assert.EqualValues(t, conns, stats.Accepted)
		assert.Zero(t, stats.ConnErrors)
	})
}

// pattern is byte i of a stream that is checked without being kept.
func pattern(i int64) byte { return byte(i % 251) }

func TestASlowReaderIsOwedABoundedNumberOfBytes(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		t.Parallel()
		const buffers = 32 << 10 // of each socket; the kernel doubles it
		var sent atomic.Int64
		var enough atomic.Bool
		addr := upstream(t, func(c *net.TCPConn) {
			assert.NoError(t, c.SetWriteBuffer(buffers))
			piece := make([]byte, 16<<10)
			for !enough.Load() {
				for i := range piece {
					piece[i] = pattern(sent.Load() + int64(i))
				}
				if _, err := c.Write(piece); err != nil {
					assert.NoError(t, err)
					return
				}
				sent.Add(int64(len(piece)))
			}
		})
		p := start(t, models.Config{ReadBuffer: proxy.Piece, RecvBuffer: buffers, SendBuffer: buffers}, w, addr)
		c := dial(t, p)
		require.NoError(t, c.SetReadBuffer(buffers))
		var before int64
		require.Eventually(t, func() bool {
			now := sent.Load()
			still := now > 0 && now == before
			before = now
			return still
		}, patience, 250*time.Millisecond, "the upstream could go on sending to a client that does not read")
		limit := int64(1 << 20) // five buffers in sockets, and a piece
		if w == proxy.Copy {
			limit += 1 << 20 // a pipe of the standard library
		}
		assert.Less(t, sent.Load(), limit)
		if w == proxy.Splice {
			assert.Eventually(t, func() bool {
				held := p.Pipes()
				return held.Open-held.Idle == 1
			}, patience, 5*time.Millisecond, "a pipe is in use while there is something in it")
		}

		enough.Store(true)
		var got int64
		buf := make([]byte, 32<<10)
		for {
			n, err := c.Read(buf)
			for i, b := range buf[:n] {
				if b != pattern(got+int64(i)) {
					require.Equal(t, pattern(got+int64(i)), b, "byte %d", got+int64(i))
				}
			}
			got += int64(n)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
		}
		assert.Equal(t, sent.Load(), got)
	})
}

func TestOneDirectionDoesNotWaitForTheOther(t *testing.T) {
	everyWay(t, func(t *testing.T, w proxy.Way) {
		const message = 16 << 20 // more than all buffers on the way hold, at their largest
		var sent digest
		arrived := make(chan digest, 1)
		addr := upstream(t, func(c *net.TCPConn) {
			// Reads nothing before all of its own has been taken.
			var err error
			sent, err = sendRandom(c, 1, message)
			assert.NoError(t, err)
			d, err := receive(c, 1)
			assert.NoError(t, err)
			arrived <- d
		})
		p := start(t, models.Config{ReadBuffer: proxy.Piece, RecvBuffer: 256 << 10, SendBuffer: 256 << 10}, w, addr)
		c := dial(t, p)
		given := make(chan digest, 1)
		go func() {
			d, err := sendRandom(c, 2, message)
			assert.NoError(t, err)
			given <- d
		}()
		got, err := receive(c, 2)
		require.NoError(t, err)
		assert.Equal(t, within(t, given), within(t, arrived))
		assert.Equal(t, sent, got)
	})
}
