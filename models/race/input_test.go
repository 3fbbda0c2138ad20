package race_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models/race"
	"netbench/testenv"
)

// two are entrants that never start here.
func two() []race.Entrant { return []race.Entrant{{Name: "goroutine"}, {Name: "twin"}} }

// apart is a placement that a race accepts.
var apart = &testenv.Placement{Server: []int{0}, Generator: []int{0}, Disjoint: true}

func TestARaceThatCannotBeRunIsRefusedInOneLine(t *testing.T) {
	unbuilt := race.Entrant{Name: "unbuilt", Prepare: func(context.Context) (string, error) { return "", errors.New("it does not compile") }}
	for name, tc := range map[string]struct {
		change func(*race.Options)
		want   string
	}{
		"one model":         {func(o *race.Options) { o.Entrants = o.Entrants[:1] }, "1 model cannot race (give two or more)"},
		"twice":             {func(o *race.Options) { o.Entrants[1].Name = "goroutine" }, "model goroutine is listed twice"},
		"baseline":          {func(o *race.Options) { o.Baseline = "abacus" }, `baseline "abacus" is not among the models (use one of goroutine, twin)`},
		"rounds":            {func(o *race.Options) { o.Rounds = 1 }, "rounds is 1 (want at least 2"},
		"slice":             {func(o *race.Options) { o.Slice = 9 * time.Millisecond }, "slice is 9ms (want at least 10ms"},
		"state":             {func(o *race.Options) { o.State = "asleep" }, `state "asleep" is unknown (use saturated or paced)`},
		"service":           {func(o *race.Options) { o.Service = "gopher" }, `unknown service "gopher" (want echo, frame, line, http`},
		"compute":           {func(o *race.Options) { o.Service = "echo+compute=fast" }, `compute is "fast"`},
		"conns":             {func(o *race.Options) { o.Conns = -1 }, "conns is -1"},
		"idle":              {func(o *race.Options) { o.IdleShare = 1 }, "idle share is 1"},
		"all idle":          {func(o *race.Options) { o.Conns, o.IdleShare = 2, 0.9 }, "leaves none of 2 connections active"},
		"rate":              {func(o *race.Options) { o.Rate = 5 }, "a rate needs state paced"},
		"missing":           {func(o *race.Options) { o.Entrants[1].Missing = "needs another kernel" }, "model twin: needs another kernel"},
		"service of models": {func(o *race.Options) { o.Entrants[1].Services = []string{"http"} }, "model twin: it cannot run service echo"},
		"suffix":            {func(o *race.Options) { o.Service, o.Entrants[1].Services = "echo+wait=1ms", []string{"echo"} }, "model twin: it cannot run service echo+wait=1ms"},
		"does not build":    {func(o *race.Options) { o.Entrants[1] = unbuilt }, "model unbuilt: it does not compile"},
		"one CPU": {func(o *race.Options) {
			o.Place = &testenv.Placement{Server: []int{0}, Generator: []int{0}, Reason: "there is but one"}
		}, "two CPUs or more, so that servers and generator have their own (there is but one)"},
		"pipeline":    {func(o *race.Options) { o.Pipeline = 5000 }, "pipeline is 5000"},
		"nobody left": {func(o *race.Options) { o.LeaveOut, o.Entrants[1] = true, unbuilt }, "1 of 2 models can race here"},
	} {
		t.Run(name, func(t *testing.T) {
			o := race.Options{Entrants: two(), Place: apart}
			tc.change(&o)
			r, err := race.Run(t.Context(), o)
			require.ErrorIs(t, err, race.ErrInput)
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "\n")
			assert.Nil(t, r)
		})
	}
}

func TestMoreConnectionsThanAServerMayHoldAreRefused(t *testing.T) {
	const conns = 9_000_000
	if load.Room() > conns {
		t.Skip("a process may hold that many here")
	}
	_, err := race.Run(t.Context(), race.Options{Entrants: two(), Place: apart, Conns: conns})
	require.ErrorIs(t, err, race.ErrInput)
	assert.ErrorContains(t, err, "9000000 connections need a server with 9000064 descriptors")
}

func TestServicesOfAnEntrantMayHaveSuffixes(t *testing.T) {
	all, plain, any := race.Entrant{}, race.Entrant{Services: []string{"echo"}}, race.Entrant{Services: []string{"http+"}}
	for service, want := range map[string][3]bool{
		"echo":          {true, true, false},
		"echo+wait=1ms": {true, false, false},
		"http":          {true, false, true},
		"http+spin=5":   {true, false, true},
	} {
		assert.Equal(t, want, [3]bool{all.Serves(service), plain.Serves(service), any.Serves(service)}, service)
	}
}

func TestCellsAreTheRacesOfTheirNamesAndGroups(t *testing.T) {
	base := race.Options{Entrants: []race.Entrant{{Name: "goroutine"}, {Name: "reactor"}, {Name: "prefork-reactor"}, {Name: "c-epoll", Services: []string{"echo"}}}, LeaveOut: true, Baseline: "goroutine", Rounds: 3}
	standard, err := race.Cells(base, "standard", "")
	require.NoError(t, err)
	require.Len(t, standard, 4, "two loads in two states")
	var titles []string
	for _, c := range standard {
		titles = append(titles, c.Title())
		assert.Equal(t, 3, c.Options.Rounds)
	}
	assert.Equal(t, []string{
		"echo, 100 x 64 B, saturated: goroutine, reactor, prefork-reactor, c-epoll",
		"echo, 100 x 64 B, paced: goroutine, reactor, prefork-reactor, c-epoll",
		"echo, 1000 x 1 KiB, saturated: goroutine, reactor, prefork-reactor, c-epoll",
		"echo, 1000 x 1 KiB, paced: goroutine, reactor, prefork-reactor, c-epoll",
	}, titles)

	all, err := race.Cells(base, "all", race.Saturated)
	require.NoError(t, err)
	further, err := race.Cells(base, "further", race.Saturated)
	require.NoError(t, err)
	assert.Len(t, further, 8)
	assert.Len(t, all, 10)
	some, err := race.Cells(base, "10000-idle,http-pipelined,block", race.Saturated)
	require.NoError(t, err)
	titles = nil
	for _, c := range some {
		titles = append(titles, c.Title())
	}
	assert.Equal(t, []string{
		"echo, 10000 x 64 B, 80 % idle, saturated: goroutine, reactor, c-epoll",
		"echo+wait=1ms, 100 x 64 B, saturated: goroutine, reactor, prefork-reactor",
		"http, 1000 connections, pipelined by 16, saturated: goroutine, reactor, prefork-reactor",
	}, titles)

	advised := base
	advised.Entrants = append(slices.Clone(base.Entrants), race.Entrant{Name: "gnet-recommended", Informs: true})
	for cell, races := range map[string]int{"100x64": 5, "10x64": 4} {
		held, err := race.Cells(advised, cell, race.Saturated)
		require.NoError(t, err)
		assert.Len(t, held[0].Options.Entrants, races, "who informs does so in the standard cells")
	}

	assert.Equal(t, []race.Absence{{Model: "prefork-reactor", Reason: "with 10000 connections to each, only some models race, unless others are named"}}, some[0].Options.Absent)
	assert.Equal(t, []race.Absence{{Model: "c-epoll", Reason: "it cannot run service http"}}, some[2].Options.Absent)
	held, err := race.Cells(advised, "http", race.Saturated)
	require.NoError(t, err)
	assert.Equal(t, []race.Absence{
		{Model: "c-epoll", Reason: "it cannot run service http"},
		{Model: "gnet-recommended", Reason: "it informs in the standard cells only, unless it is named"},
	}, held[0].Options.Absent)

	base.LeaveOut = false // all were named
	named, err := race.Cells(base, "10000x64", race.Saturated)
	require.NoError(t, err)
	assert.Len(t, named[0].Options.Entrants, 4)

	_, err = race.Cells(base, "standard,moon", "")
	require.ErrorIs(t, err, race.ErrInput)
	assert.ErrorContains(t, err, `cell "moon" is unknown (use all, standard, further, 100x64, `)
	_, err = race.Cells(base, "http-pipelined", race.Paced)
	require.ErrorIs(t, err, race.ErrInput)
	assert.ErrorContains(t, err, `no cell of "http-pipelined" is raced in state paced`)
	http, err := race.Cells(base, "http", race.Paced)
	require.NoError(t, err)
	assert.Len(t, http[0].Options.Absent, 1, "who was named and cannot serve is told of")
	base.Entrants, base.Baseline = base.Entrants[2:], ""
	_, err = race.Cells(base, "http", "")
	require.ErrorIs(t, err, race.ErrInput)
	assert.ErrorContains(t, err, "cell http: 1 of 2 models can race in it")
	assert.True(t, strings.HasPrefix(race.CellGroups(), "all, standard, further, "))
}

func TestABaselineThatCannotRaceInACellIsRefusedBeforeAnyRace(t *testing.T) {
	for name, tc := range map[string]struct {
		baseline string
		want     string
	}{
		"service": {"c-epoll", "cell http: the baseline c-epoll cannot race in it: it cannot run service http (use another baseline, or other cells)"},
		"host":    {"gnet", "cell 100x64: the baseline gnet cannot race in it: needs another kernel (use"},
		"nobody":  {"abacus", `baseline "abacus" is not among the models`},
	} {
		for _, leaveOut := range []bool{true, false} {
			base := race.Options{LeaveOut: leaveOut, Baseline: tc.baseline, Entrants: []race.Entrant{
				{Name: "goroutine"}, {Name: "reactor"}, {Name: "c-epoll", Services: []string{"echo"}}, {Name: "gnet", Missing: "needs another kernel"},
			}}
			_, err := race.Cells(base, "100x64,http", "")
			require.ErrorIs(t, err, race.ErrInput, name)
			assert.ErrorContains(t, err, tc.want, name)
		}
	}
	base := race.Options{LeaveOut: true, Baseline: "prefork-reactor", Entrants: []race.Entrant{{Name: "goroutine"}, {Name: "prefork-reactor"}}}
	held, err := race.Cells(base, "10000x64", race.Paced)
	require.NoError(t, err, "the list of a cell is not for the baseline")
	assert.Len(t, held[0].Options.Entrants, 2)
}

func TestSlicesAreLongEnoughForEachActiveConnection(t *testing.T) {
	for _, tc := range []struct {
		conns int
		idle  float64
		slice time.Duration
	}{{100, 0, 100 * time.Millisecond}, {2000, 0, 100 * time.Millisecond}, {10_000, 0, 500 * time.Millisecond}, {10_000, 0.8, 100 * time.Millisecond}} {
		o := race.Options{Entrants: two(), Conns: tc.conns, IdleShare: tc.idle}
		assert.Equal(t, tc.slice, race.SliceOf(o), "%+v", tc)
	}
}
