package vectored_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/zerocopy/vectored"
)

func TestRepliesOfAllSizesAndPartsAreWhole(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		s := start(t, models.Config{}, o)
		c := dial(t, s.Addr().String())
		var sent uint64
		for _, size := range []int{0, 1, 15, 64, 1 << 10, 4097, 64 << 10, 300_001, vectored.MaxBody} {
			for _, parts := range []int{1, 2, 16, 1023, 1024, 1025, vectored.MaxParts} {
				c.ask(t, fmt.Sprintf("/bytes/%d/%d", size, parts))
				c.expect(t, size)
				sent += uint64(vectored.HeaderLen(size) + size)
			}
		}
		require.Eventually(t, func() bool { return s.Stats().BytesOut == sent }, patience, time.Millisecond)
	})
}

func TestAllWaysSendTheSameBytes(t *testing.T) {
	var first [sha256.Size]byte
	for i, o := range vectored.All() {
		c := dial(t, start(t, models.Config{}, o).Addr().String())
		c.ask(t, "/bytes/70000/9", "Connection: close")
		all, err := io.ReadAll(c)
		require.NoError(t, err)
		if got := sha256.Sum256(all); i == 0 {
			first = got
		} else {
			assert.Equal(t, first, got, "%s", name(o))
		}
	}
}

func TestRepliesSurviveAReaderThatTakesLittleAtATime(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		// Small buffers on both sides: no write is taken whole, and a writev ends
		// in the middle of a part.
		c := dial(t, start(t, models.Config{SendBuffer: 16 << 10}, o).Addr().String())
		require.NoError(t, c.SetReadBuffer(16<<10))
		const size, replies = 200_003, 2
		for range replies {
			c.ask(t, fmt.Sprintf("/bytes/%d/3000", size))
		}
		length := int64(vectored.HeaderLen(size) + size)
		h := sha256.New()
		buf := make([]byte, 1777)
		for left := replies * length; left > 0; {
			n, err := c.Read(buf[:min(int64(len(buf)), left)])
			require.NoError(t, err, "%d bytes before the end", left)
			h.Write(buf[:n])
			left -= int64(n)
		}
		want := sha256.New()
		for range replies {
			fmt.Fprintf(want, "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size)
			for i := range size {
				want.Write([]byte{byte(i % 251)})
			}
		}
		assert.Equal(t, want.Sum(nil), h.Sum(nil))
	})
}

func TestRequestsInOneWriteAreAnsweredInOrder(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		c := dial(t, start(t, models.Config{}, o).Addr().String())
		var all strings.Builder
		sizes := make([]int, 300) // far more than fit into one buffer
		for i := range sizes {
			sizes[i] = i * 7
			fmt.Fprintf(&all, "GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n", sizes[i])
		}
		_, err := c.Write([]byte(all.String()))
		require.NoError(t, err)
		for _, size := range sizes {
			c.expect(t, size)
		}
	})
}

func TestARequestMayComeByteByByte(t *testing.T) {
	c := dial(t, start(t, models.Config{}, vectored.Options{Way: vectored.Writev}).Addr().String())
	for _, b := range []byte("GET /bytes/5 HTTP/1.1\r\nHost: x\r\n\r\nGET /bytes/6 HTTP/1.1\r\n\r\n") {
		_, err := c.Write([]byte{b})
		require.NoError(t, err)
	}
	c.expect(t, 5)
	c.expect(t, 6)
}

func TestWhatIsNotUnderstoodIsRefusedAndTheConnectionEnds(t *testing.T) {
	s := start(t, models.Config{}, vectored.Options{Way: vectored.Writev})
	for request, status := range map[string]int{
		"GET /bytes/ HTTP/1.1\r\n\r\n":                                   http.StatusNotFound,
		"GET /bytes/-1 HTTP/1.1\r\n\r\n":                                 http.StatusNotFound,
		"GET /bytes/1048577 HTTP/1.1\r\n\r\n":                            http.StatusNotFound,
		"GET /bytes/99999999999999999999 HTTP/1.1\r\n\r\n":               http.StatusNotFound,
		"GET /bytes/1/0 HTTP/1.1\r\n\r\n":                                http.StatusNotFound,
		"GET /bytes/1/4097 HTTP/1.1\r\n\r\n":                             http.StatusNotFound,
		"GET /bytes/1/ HTTP/1.1\r\n\r\n":                                 http.StatusNotFound,
		"GET /bytes/1/1/1 HTTP/1.1\r\n\r\n":                              http.StatusNotFound,
		"GET / HTTP/1.1\r\n\r\n":                                         http.StatusNotFound,
		"HEAD /bytes/1 HTTP/1.1\r\n\r\n":                                 http.StatusMethodNotAllowed,
		"GET /bytes/1 HTTP/1.0\r\n\r\n":                                  http.StatusBadRequest,
		"GET /bytes/1\r\n\r\n":                                           http.StatusBadRequest,
		"\r\n\r\n":                                                       http.StatusBadRequest,
		"GET /bytes/1 HTTP/1.1\r\nno field\r\n\r\n":                      http.StatusBadRequest,
		"GET /bytes/1 HTTP/1.1\r\n: x\r\n\r\n":                           http.StatusBadRequest,
		"GET /bytes/1 HTTP/1.1\r\ncontent-LENGTH: 1\r\n\r\nx":            http.StatusBadRequest,
		"GET /bytes/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n":    http.StatusBadRequest,
		"GET /bytes/1 HTTP/1.1\r\nX: " + strings.Repeat("x", 9<<10):      http.StatusRequestHeaderFieldsTooLarge,
		"GET /bytes/" + strings.Repeat("1", 9<<10) + " HTTP/1.1\r\n\r\n": http.StatusRequestHeaderFieldsTooLarge,
	} {
		c := dial(t, s.Addr().String())
		_, err := c.Write([]byte(request))
		require.NoError(t, err)
		got, body := c.reply(t)
		assert.Equal(t, status, got, "%.60q: %s", request, body)
		_, err = c.r.ReadByte()
		assert.ErrorIs(t, err, io.EOF, "%.60q", request)
	}
	assert.Zero(t, s.Stats().ConnErrors)
}

func TestTheLastReplyAskedForEndsTheConnection(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		c := dial(t, start(t, models.Config{}, o).Addr().String())
		c.ask(t, "/bytes/1000", "connection: Close")
		c.ask(t, "/bytes/1") // is not answered
		c.expect(t, 1000)
		_, err := c.r.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
	})
}

func TestAnIdleClientIsClosed(t *testing.T) {
	s := start(t, models.Config{IdleTimeout: time.Second}, vectored.Options{Way: vectored.Join})
	c := dial(t, s.Addr().String())
	c.ask(t, "/bytes/1")
	c.expect(t, 1)
	_, err := c.r.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return s.Stats().IdleClosed == 1 }, patience, time.Millisecond)
}

func TestAClientThatTakesNothingIsGivenUpAfterTheIdleTimeout(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		t.Parallel()
		s := start(t, models.Config{IdleTimeout: time.Second, SendBuffer: 4 << 10}, o)
		c := dial(t, s.Addr().String())
		require.NoError(t, c.SetReadBuffer(4<<10))
		c.ask(t, fmt.Sprintf("/bytes/%d/64", vectored.MaxBody))
		require.Eventually(t, func() bool { return s.Stats().IdleClosed == 1 }, patience, 5*time.Millisecond)
	})
}

func TestShutdownAnswersWhatHasArrived(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		s := start(t, models.Config{}, o)
		c := dial(t, s.Addr().String())
		c.ask(t, "/bytes/1")
		c.expect(t, 1)
		c.ask(t, "/bytes/5000/3")
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done <- s.Shutdown(ctx)
		}()
		c.expect(t, 5000)
		_, err := c.r.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
		require.NoError(t, c.Close())
		assert.NoError(t, <-done)
	})
}

func TestAServerThatCannotBeIsAnErrorThatSaysWhy(t *testing.T) {
	_, err := vectored.New(models.Config{Service: models.Echo{}}, vectored.Options{Way: "pigeon"})
	assert.ErrorContains(t, err, `way "pigeon" is unknown`)
	_, err = vectored.New(models.Config{}, vectored.Options{Way: vectored.Join})
	assert.ErrorContains(t, err, "Config.Service")
}

func TestEveryScenarioHasAModelAndAName(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range vectored.Scenarios() {
		assert.Contains(t, vectored.Models(), s.Server.Model)
		assert.False(t, names[s.Name], "%s is there twice", s.Name)
		names[s.Name] = true
		assert.Positive(t, s.Bytes)
	}
	assert.True(t, names["Vectored/way=writev/cork=off/size=64"])
	assert.True(t, names["Parts/way=writes/cork=off/parts=16/size=4096"])
}
