package load

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSilentConnectionsAreSpreadEvenlyOverShards(t *testing.T) {
	for _, tc := range []struct{ conns, silent, shards int }{{10_000, 8000, 1}, {10_000, 8000, 5}, {1000, 1, 4}, {7, 6, 2}, {100, 50, 3}} {
		p := Plan{Conns: tc.conns, Silent: tc.silent}
		all := 0
		for shard, conns := range shares(int64(tc.conns), tc.shards) {
			silent := 0
			for i := range int(conns) {
				if p.silent(shard, tc.shards, i) {
					silent++
				}
			}
			assert.InDelta(t, float64(tc.silent)/float64(tc.shards), silent, 1.01, "%+v: shard %d", tc, shard)
			all += silent
		}
		if assert.InDelta(t, tc.silent, all, float64(tc.shards-1), "%+v", tc); tc.shards == 1 {
			assert.Equal(t, tc.silent, all)
		}
	}
}

func TestSilentConnectionsCarryNothingButProofsOfLife(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		for _, mode := range []Mode{Closed, Open} {
			var mu sync.Mutex
			var perConn []int
			handle := func(c net.Conn) {
				b, got := make([]byte, 64), 0
				for n, err := c.Read(b); err == nil; n, err = c.Read(b) {
					got += n
					if _, err = c.Write(b[:n]); err != nil {
						break
					}
				}
				mu.Lock()
				perConn = append(perConn, got/8)
				mu.Unlock()
			}
			p := Plan{Mode: mode, Engine: kind, Conns: 10, Silent: 8, Size: 8, Duration: 50 * time.Millisecond,
				Targets: []Target{serve(t, EchoProtocol, handle)}}
			if mode == Open {
				p.Rate = 1000
			}
			r := run(t, p)
			require.Zero(t, r.Lost, r.FirstError)
			assert.Equal(t, 8, r.Silent)
			assert.EqualValues(t, 10, r.Alive)
			require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(perConn) == 10 }, 10*time.Second, time.Millisecond)
			const proofs = 4 // twice before and twice after
			quiet, sum := 0, 0
			for _, n := range perConn {
				if sum += n; n == proofs {
					quiet++
				}
			}
			assert.Equal(t, 8, quiet, "%s: %v", mode, perConn)
			assert.EqualValues(t, r.Answered+10*proofs, sum, "%s: proofs are not in the result", mode)
		}
	})
}

func TestASilentConnectionThatDiedIsLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		handle := func(c net.Conn) {
			b := make([]byte, 64)
			for n := 0; ; n++ {
				if n >= 2 { // proven alive; who is silent now is let go
					if c.SetReadDeadline(time.Now().Add(50*time.Millisecond)) != nil {
						return
					}
				}
				k, err := c.Read(b)
				if err != nil {
					return
				}
				if _, err := c.Write(b[:k]); err != nil {
					return
				}
			}
		}
		r := run(t, Plan{Engine: kind, Conns: 4, Silent: 3, Size: 8, Duration: 300 * time.Millisecond,
			Targets: []Target{serve(t, EchoProtocol, handle)}})
		assert.GreaterOrEqual(t, r.Lost, int64(3))
		assert.False(t, r.Valid.Counts)
	})
}

func TestSilentConnectionsNeedALoopAndOneThatIsNot(t *testing.T) {
	for name, tc := range map[string]struct {
		plan Plan
		want string
	}{
		"all":     {Plan{Conns: 5, Silent: 5}, "silent is 5 of 5"},
		"less":    {Plan{Conns: 5, Silent: -1}, "silent is -1"},
		"connect": {Plan{Conns: 5, Silent: 1, Mode: Connect}, "mode closed or open"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.plan.Targets = targets(t, "tcp://127.0.0.1:7")
			_, err := tc.plan.Normalize()
			assertBadInput(t, err, tc.want)
		})
	}
}

func TestApartDrivesFromAnotherProcessThoughOneIsEnough(t *testing.T) {
	p := Plan{Conns: 4, Apart: true, Targets: []Target{serve(t, EchoProtocol, echo)}}
	s, err := Dial(t.Context(), p)
	require.NoError(t, err)
	defer s.Close()
	assert.Equal(t, 1, s.Processes())
	assert.IsType(t, &fleet{}, s.eng)
	r, err := s.Run(t.Context(), Span{Duration: 20 * time.Millisecond})
	require.NoError(t, err)
	assert.Positive(t, r.Requests)
	assert.Zero(t, r.Lost)
}
