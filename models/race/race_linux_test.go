package race_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models/race"
	"netbench/results"
	"netbench/testenv"
)

// pair is a race of two models that takes about a second.
func pair(t *testing.T) race.Options {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	if !place.Disjoint {
		t.Skip("a race needs two CPUs: " + place.Reason)
	}
	return race.Options{
		Entrants: []race.Entrant{{Name: "goroutine", Kind: race.Ours}, {Name: "slow", Kind: race.Peer, Declared: []string{"it takes its time"}, Version: "v1"}},
		Conns:    4, Rounds: 2, Slice: 20 * time.Millisecond, Slices: 4, Warmup: 10 * time.Millisecond, CountSlices: 1, Seed: 7,
	}
}

// log collects lines.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) { l.mu.Lock(); l.lines = append(l.lines, line); l.mu.Unlock() }
func (l *log) String() string  { l.mu.Lock(); defer l.mu.Unlock(); return strings.Join(l.lines, "\n") }

func TestASlowerModelCostsMoreAndIsMeasuredInAllWays(t *testing.T) {
	o := pair(t)
	o.Memory = func(_ context.Context, e race.Entrant) (float64, error) {
		if e.Name == "slow" {
			return 0, errors.New("nobody weighed it")
		}
		return 4096, nil
	}
	rounds := 0
	o.Progress = func(n, of int, _ time.Duration, r *load.Round) { rounds++; assert.Equal(t, 2, of) }
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, 2, r.RoundsCounted, "%v", r.Reasons)
	assert.Equal(t, 2, rounds)
	assert.True(t, r.Valid, "%v", r.Reasons)
	require.Len(t, r.Contenders, 2)
	first, second := r.Contenders[0], r.Contenders[1]
	assert.Equal(t, "goroutine", first.Model, "the cheapest first")
	assert.Equal(t, 1.0, *first.CPURatio)
	assert.Greater(t, *second.CPURatio, 1.5, "20,000 rounds of arithmetic are more than an echo")
	assert.LessOrEqual(t, *second.CPULo, *second.CPURatio)
	assert.GreaterOrEqual(t, *second.CPUHi, *second.CPURatio)
	assert.Equal(t, []string{"it takes its time"}, second.Declared)
	assert.Equal(t, 4096.0, *first.UserBytesPerConn)
	assert.Nil(t, second.UserBytesPerConn)
	assert.Contains(t, r.Reasons, "user_bytes_per_conn of slow: nobody weighed it")
	for _, s := range r.Contenders {
		assert.Positive(t, *s.Rate)
		assert.Positive(t, *s.AllocsPerOp)
		assert.NotEmpty(t, s.Limit)
		assert.Zero(t, s.LostRounds)
	}
	assert.Equal(t, r.Verdict.Winner, "goroutine")
	var out bytes.Buffer
	require.NoError(t, r.Print(&out))
	assert.Contains(t, out.String(), "declared: slow: it takes its time")

	dir := t.TempDir()
	w, err := results.Create(dir, results.Fingerprint{Start: time.Now()})
	require.NoError(t, err)
	require.NoError(t, r.Write(w))
	require.NoError(t, w.Commit())
	text, err := os.ReadFile(w.Path())
	require.NoError(t, err)
	assert.Equal(t, 2, strings.Count(string(text), "BenchmarkRace/model=slow/conns=4/size=64/state=saturated "), "a line for each round")
	assert.Contains(t, string(text), "server-cpu-ns/op")
	assert.Contains(t, string(text), "version: slow v1\n")
	assert.Contains(t, string(text), "BenchmarkRace/model=goroutine/conns=4/size=64/state=saturated 1 4096.0 user-B/conn\n")
}

func TestAPacedRaceGivesAllTheSameRate(t *testing.T) {
	o := pair(t)
	o.State, o.CountSlices = race.Paced, -1
	var said log
	o.Log = said.add
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	require.NotNil(t, r.PacedRate)
	assert.Contains(t, said.String(), "of slow, the slowest")
	for _, round := range r.Comparison.Rounds {
		for _, s := range round.Samples {
			if s != nil {
				assert.Equal(t, load.Open, s.Mode)
				assert.Equal(t, *r.PacedRate, s.Offered)
			}
		}
	}
	for _, s := range r.Contenders {
		assert.Nil(t, s.RateRatio, "a paced rate judges nobody")
	}
	assert.Contains(t, r.Reasons, "rates are not compared: the rate is the generator's")
}

func TestARateThatIsGivenNeedsNoPilot(t *testing.T) {
	o := pair(t)
	o.State, o.Rate = race.Paced, 500
	var said log
	o.Log = said.add
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 500.0, *r.PacedRate)
	assert.Empty(t, said.String())
}

func TestACrashInARoundIsNamedAndNotCountedAsSlow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crash")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	t.Setenv(crashFile, file)
	o := pair(t)
	o.Entrants[1] = race.Entrant{Name: "crashing", Kind: race.Peer}
	o.Rounds = 3
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 3, r.Rounds)
	assert.Equal(t, 2, r.RoundsCounted)
	assert.True(t, r.Valid, "the race went on: %v", r.Reasons)
	assert.Contains(t, strings.Join(r.Reasons, "\n"), "round 1 does not count: crashing: ")
	for _, s := range r.Contenders {
		want := 0
		if s.Model == "crashing" {
			want = 1
		}
		assert.Equal(t, want, s.LostRounds, s.Model)
		assert.Less(t, *s.CPURatio, 1.5, "a dead server is not a slow one")
	}
}

func TestAnInterruptedRaceKeepsWhatWasMeasured(t *testing.T) {
	o := pair(t)
	o.Rounds = 1000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(n, _ int, _ time.Duration, _ *load.Round) {
		if n == 1 {
			cancel()
		}
	}
	r, err := race.Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, r)
	assert.True(t, r.Interrupted)
	assert.Equal(t, 1, r.Rounds)
	assert.False(t, r.Valid)
	assert.Contains(t, r.Reasons, "interrupted after 1 of 1000 rounds")
	var back map[string]any
	text, err := json.Marshal(r)
	require.NoError(t, err, "what is unknown is null, not a number that JSON lacks")
	require.NoError(t, json.Unmarshal(text, &back))
}

func TestAContenderThatCannotBeStartedIsBadInput(t *testing.T) {
	o := pair(t)
	o.Entrants[1] = race.Entrant{Name: "deaf"}
	_, err := race.Run(t.Context(), o)
	require.ErrorIs(t, err, race.ErrInput)
	assert.ErrorContains(t, err, "model deaf: it cannot be started: ")
	assert.ErrorContains(t, err, "no listener to be had")
}

func TestAContenderThatCannotBeStartedIsLeftOutIfItMayBe(t *testing.T) {
	o := pair(t)
	o.Entrants, o.LeaveOut = append(o.Entrants, race.Entrant{Name: "deaf"}), true
	o.Absent = []race.Absence{{Model: "abacus", Reason: "it has no socket"}}
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	assert.Len(t, r.Contenders, 2)
	require.Len(t, r.Absent, 2)
	assert.Equal(t, o.Absent[0], r.Absent[0])
	assert.Equal(t, "deaf", r.Absent[1].Model)
	assert.Contains(t, r.Absent[1].Reason, "it cannot be started: ")
	assert.Contains(t, r.Absent[1].Reason, "no listener to be had")
	assert.NotContains(t, r.Absent[1].Reason, "\n")
}

func TestAContenderThatFailsInTheFirstRoundLosesOnlyThatRound(t *testing.T) {
	for _, state := range race.States {
		t.Run(string(state), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "starts")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			t.Setenv(startsFile, file)
			o := pair(t)
			o.Entrants[1] = race.Entrant{Name: "moody"}
			o.Rounds, o.State, o.CountSlices = 3, state, -1
			if state == race.Paced {
				o.Rate = 500 // no pilot, which would try again
			}
			r, err := race.Run(t.Context(), o)
			require.NoError(t, err)
			assert.Equal(t, 3, r.Rounds)
			assert.Equal(t, 2, r.RoundsCounted, "%v", r.Reasons)
			assert.Contains(t, r.Comparison.Rounds[0].Invalid, "moody: it could not be started: ")
			assert.Contains(t, strings.Join(r.Reasons, "\n"), "round 1 does not count: moody: ")
		})
	}
}

func TestIdleConnectionsAndComputingServicesRace(t *testing.T) {
	o := pair(t)
	o.Entrants[1] = race.Entrant{Name: "twin"}
	o.Conns, o.IdleShare, o.Service = 20, 0.8, "echo+compute=10us"
	var said log
	o.Log = said.add
	r, err := race.Run(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, "echo+compute=10us", r.Service, "as asked, so that runs can be compared")
	assert.Regexp(t, `^echo\+spin=\d+$`, r.ServiceRun)
	assert.Regexp(t, `computing for 10µs is \d+ rounds of arithmetic here`, said.String())
	assert.Equal(t, 16, r.Silent)
	for _, s := range r.Contenders {
		require.NotNil(t, s.CPUPerOp, "%v", r.Reasons)
		assert.Greater(t, *s.CPUPerOp, 10_000.0, "it computes for 10 µs at least")
	}
}
