package buffers_test

import (
	"bufio"
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/internal/needs"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

func TestLinesAreAnsweredInOrderHoweverTheyArrive(t *testing.T) {
	asked := "ping\n  status \r\nnothing of the kind\n\nping\n"
	want := "pong\nserver is running\nunknown command: nothing of the kind\nunknown command: \npong\n"
	for _, name := range servers("line-") {
		for _, piece := range []int{1, 3, 7, len(asked)} {
			s := serve(t, name, "line", models.Config{})
			c := dial(t, s)
			for rest := []byte(asked); len(rest) > 0; {
				n := min(piece, len(rest))
				_, err := c.Write(rest[:n])
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.NoError(t, c.CloseWrite())
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.Equal(t, want, string(got), "%s, %d bytes at once", name, piece)
		}
	}
}

// A server that holds replies back while anything is buffered would wait here for ever:
// its peer sends the rest of the line when it has the reply to the one before.
func TestTheBeginningOfALineHoldsNoReplyBack(t *testing.T) {
	for _, name := range servers("line-") {
		s := serve(t, name, "line", models.Config{})
		c := dial(t, s)
		r := bufio.NewReader(c)
		for _, part := range []string{"ping\npi", "ng\nping\np", "ing\n"} {
			_, err := c.Write([]byte(part))
			require.NoError(t, err)
			for range bytes.Count([]byte(part), []byte("\n")) {
				reply, err := r.ReadString('\n')
				require.NoError(t, err, name)
				assert.Equal(t, "pong\n", reply)
			}
		}
	}
}

func TestALineWithoutAnEndIsRefusedAndNotCollected(t *testing.T) {
	for _, name := range servers("line-") {
		s := serve(t, name, "line", models.Config{})
		c := dial(t, s)
		go func() {
			piece := bytes.Repeat([]byte("a"), 4096)
			for range 1000 { // 4 MB
				if _, err := c.Write(piece); err != nil {
					return // refused, as it should be
				}
			}
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err, "%s: the end of the stream and no reset, though most was not read", name)
		assert.Equal(t, "error: line longer than 4096 bytes\n", string(got))
		require.Eventually(t, func() bool { return s.Stats().Active == 0 }, 5*time.Second, time.Millisecond)
		assert.LessOrEqual(t, s.Stats().BytesIn, uint64(16<<10), "no more than the buffer was ever held")
	}
}

// Replies to lines that came together are written together, but only by the server that
// looks.
func TestFlushingWhenIdleSavesWrites(t *testing.T) {
	perRequest := map[string]float64{}
	for _, name := range servers("line-") {
		s := started(t, testenv.ServerSpec{Model: name, Service: "line"})
		conns := session(t, s, "line", load.Plan{Conns: 2, Pipeline: 32})
		run(t, conns, 1000)
		set, err := s.Counters()
		if err != nil {
			needs.Skip(t, needs.Perf, err)
		}
		before, err := set.Read()
		require.NoError(t, err)
		r, err := conns.Run(t.Context(), load.Span{Requests: 6400})
		require.NoError(t, err)
		after, err := set.Read()
		require.NoError(t, err)
		require.NoError(t, set.Close())
		counted := after.Sub(before)
		if counted.NoSyscalls != "" {
			needs.Skip(t, needs.Perf, counted.NoSyscalls)
		}
		perRequest[name] = float64(counted.Syscalls) / float64(r.Answered)
	}
	assert.Greater(t, perRequest[buffers.FlushEach], 1.0, "a write for each reply")
	assert.Less(t, perRequest[buffers.FlushIdle], perRequest[buffers.FlushEach]/2)
}
