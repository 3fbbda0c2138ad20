package goroutine

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// script is a connection whose peer sends pieces, one for each read or less if
// the read is smaller.
type script struct {
	net.Conn
	pieces [][]byte
	reads  []int // sizes of the buffers that were read into
	writes [][]byte
	ended  int // number of reads before the stream to the peer was ended, -1 if it was not
}

func (s *script) CloseWrite() error {
	s.ended = len(s.reads)
	return nil
}

func (s *script) Read(b []byte) (int, error) {
	s.reads = append(s.reads, len(b))
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.writes = append(s.writes, bytes.Clone(b))
	return len(b), nil
}

func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// scripted is a connection of a server that is not served by a goroutine, so
// that a test can look at it after each turn.
func scripted(t *testing.T, cfg models.Config, o Options, pieces ...[]byte) (*conn, *script) {
	t.Helper()
	cfg, err := cfg.Validate()
	require.NoError(t, err)
	s := newServer(cfg, o, newPipeListener())
	nc := &script{pieces: pieces, ended: -1}
	c := newConn(s, nc)
	c.begin()
	return c, nc
}

func frame(size int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	for i := range size {
		b = append(b, byte(i))
	}
	return b
}

func TestReadBufferGrowsToNeedAndShrinksBack(t *testing.T) {
	large := frame(100_000)
	for _, naive := range []bool{false, true} {
		c, nc := scripted(t, models.Config{Service: models.Frame{}, ReadBuffer: 1 << 10}, Options{NaiveBuffers: naive},
			large[:500], large[500:], append(frame(50_000), frame(10)[:7]...), frame(10)[7:])
		require.Equal(t, ongoing, c.turn())
		assert.Equal(t, 100_004, c.need)
		require.Equal(t, ongoing, c.turn())
		assert.GreaterOrEqual(t, nc.reads[1], 100_004-500, "one read for the rest")
		require.Len(t, nc.writes, 1)
		assert.Equal(t, large, nc.writes[0])

		for len(nc.pieces) > 1 { // a message, and a part of the next one behind it
			require.Equal(t, ongoing, c.turn())
		}
		c.room()
		assert.Len(t, c.buf, 1<<10, "the large buffer is not kept for a small message")
		assert.Nil(t, c.large)
		require.Equal(t, ongoing, c.turn())
		require.Equal(t, finished, c.turn())
		assert.Equal(t, append(frame(50_000), frame(10)...), bytes.Join(nc.writes[1:], nil))
		assert.Equal(t, 1<<10, nc.reads[len(nc.reads)-1])
	}
}

// lines is a service whose sessions never know how long a message is.
func lines(max int) models.Service { return models.Line{Max: max} }

func TestReadBufferDoublesForAMessageOfUnknownLength(t *testing.T) {
	line := append(bytes.Repeat([]byte{'x'}, 50_000), '\n')
	c, nc := scripted(t, models.Config{Service: lines(50_000), ReadBuffer: 16}, Options{}, line)
	for len(nc.writes) == 0 {
		require.Equal(t, ongoing, c.turn())
		assert.LessOrEqual(t, len(c.buf), 1<<16)
	}
	assert.Less(t, len(nc.reads), 20, "reads grow with the message")
	assert.Len(t, nc.writes[0], len("unknown command: ")+len(line))
}

func TestSessionThatAsksForMoreThanItsLimitsFails(t *testing.T) {
	c, _ := scripted(t, models.Config{Service: greedy{}, ReadBuffer: 16}, Options{}, []byte("hello"))
	assert.Equal(t, failed, c.turn())
}

// greedy needs more than its limits say.
type greedy struct{ models.Echo }

func (greedy) Open() models.Session { return greedy{} }
func (greedy) Step(_, out []byte) (int, []byte, models.Next) {
	return 0, out, models.Next{Need: 17}
}

func TestAllRepliesToOneReadLeaveInOneWrite(t *testing.T) {
	five := bytes.Repeat(frame(10), 5)
	c, nc := scripted(t, models.Config{Service: models.Frame{}}, Options{}, append(five, 0, 0))
	require.Equal(t, ongoing, c.turn())
	assert.Equal(t, [][]byte{five}, nc.writes)
}

func TestRepliesLeaveWhenMaxPendingIsReached(t *testing.T) {
	c, nc := scripted(t, models.Config{Service: models.Frame{}, MaxPending: 30}, Options{}, bytes.Repeat(frame(6), 8))
	require.Equal(t, ongoing, c.turn())
	assert.Equal(t, [][]byte{bytes.Repeat(frame(6), 3), bytes.Repeat(frame(6), 3), bytes.Repeat(frame(6), 2)}, nc.writes)
}

func TestRepliesDoNotWaitForWorkThatBlocks(t *testing.T) {
	c, nc := scripted(t, models.Config{Service: models.Waiting{Service: models.Frame{}}}, Options{}, bytes.Repeat(frame(6), 3))
	require.Equal(t, ongoing, c.turn())
	assert.Len(t, nc.writes, 3)
}

func TestIdleConnectionHoldsItsReadBufferOnly(t *testing.T) {
	c, _ := scripted(t, models.Config{Service: models.Frame{}}, Options{}, frame(100_000))
	for c.consumed == 0 {
		require.Equal(t, ongoing, c.turn())
	}
	c.room()
	assert.Nil(t, c.out)
	assert.Nil(t, c.large)
	assert.Len(t, c.base.B, models.DefaultReadBuffer)
}

func TestLingeringEndsTheStreamFirstAndDiscardsTheRest(t *testing.T) {
	tooLong := []byte{0xff, 0xff, 0xff, 0xff}
	c, nc := scripted(t, models.Config{Service: models.Frame{}}, Options{}, append(frame(3), tooLong...), []byte("more"), []byte("and more"))
	require.Equal(t, parting, c.turn())
	assert.Equal(t, [][]byte{frame(3)}, nc.writes, "what was asked before is answered")
	assert.Equal(t, -1, nc.ended)
	c.linger(lingerTime)
	assert.Equal(t, 1, nc.ended, "the peer learns of the end before the server waits for it")
	assert.Empty(t, nc.pieces, "read to the end")
	assert.Len(t, nc.writes, 1)
}

// endless is a connection whose peer sends the same for ever.
type endless struct {
	script
	message []byte
	at      int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.message[e.at:])
	e.at = (e.at + n) % len(e.message)
	return n, nil
}

func (e *endless) Write(b []byte) (int, error) { return len(b), nil }

func TestExchangeAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	get := []byte("GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for name, c := range map[string]struct {
		service models.Service
		message []byte
		naive   bool
		allocs  float64
	}{
		"echo":                     {models.Echo{}, bytes.Repeat([]byte("x"), 1000), false, 0},
		"echo of a full buffer":    {models.Echo{}, bytes.Repeat([]byte("x"), 8192), false, 0},
		"frame":                    {models.Frame{}, frame(100), false, 0},
		"frame beyond the buffer":  {models.Frame{}, frame(100_000), false, 0},
		"HTTP":                     {models.HTTP{}, get, false, 0},
		"HTTP, pipelined":          {models.HTTP{}, bytes.Repeat(get, 16), false, 0},
		"HTTP, long reply":         {models.HTTP{}, []byte("GET /bytes/1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"), false, 0},
		"echo with naive buffers":  {models.Echo{}, bytes.Repeat([]byte("x"), 1000), true, 1},
		"frame with naive buffers": {models.Frame{}, frame(100), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := scripted(t, models.Config{Service: c.service}, Options{NaiveBuffers: c.naive})
			s.nc = &endless{message: c.message}
			exchange := func() {
				for was := s.consumed; s.consumed < was+int64(len(c.message)); {
					if how := s.turn(); how != ongoing {
						t.Fatal(how)
					}
				}
			}
			for range 50 { // the pools fill, the guess settles
				exchange()
			}
			assert.InDelta(t, c.allocs, testing.AllocsPerRun(200, exchange), 0.5)
		})
	}
}
