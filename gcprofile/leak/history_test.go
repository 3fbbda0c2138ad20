package leak

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// filledHistory is one of default options after n samples, half a second apart.
func filledHistory(t *testing.T, o Options, n int, sample func(i int) reading) *history {
	t.Helper()
	o, err := o.filled()
	require.NoError(t, err)
	h := newHistory(o)
	for i := range n {
		h.add(time.Duration(i)*500*time.Millisecond, sample(i))
	}
	return h
}

// some is n goroutines of a function, in a state.
func some(n int, function, state string) (all []goroutine) {
	for i := range n {
		all = append(all, goroutine{id: uint64(i + 1), state: state, stack: []Frame{{Func: function}}, creator: Frame{"app.start", "app.go", 7}})
	}
	return all
}

func TestHistoryNamesTheOriginOfGoroutinesAndWhatMostOfThemWaitFor(t *testing.T) {
	h := filledHistory(t, Options{}, 20, func(i int) reading {
		all := append(some(5*i, "app.leaks", "chan send"), some(3, "app.leaks", "select")...)
		return reading{goroutines: append(all, some(100, "app.steady", "select")...)}
	})
	found := h.findings()
	require.Len(t, found, 1)
	f := found[0]
	assert.Equal(t, Goroutine, f.Kind)
	assert.Equal(t, "app.leaks, created by app.start (app.go:7)", f.Where)
	assert.Equal(t, "chan send (95 of 98)", f.State)
	assert.InDelta(t, 10, f.Trend.Slope, 0.01)
	assert.Equal(t, []Frame{{Func: "app.leaks"}, {"app.start", "app.go", 7}}, f.Stack)
	assert.Zero(t, f.Proven)
	assert.Contains(t, f.String(), "10/s [10, 10] by 20 samples")
}

func TestHistoryFindsAtOnceWhatTheRuntimeHasProven(t *testing.T) {
	h := filledHistory(t, Options{}, 1, func(int) reading {
		all := some(2, "app.leaks", "chan send")
		all[1].leaked = true
		return reading{goroutines: all}
	})
	found := h.findings()
	require.Len(t, found, 1)
	assert.Equal(t, 1, found[0].Proven)
	assert.Contains(t, found[0].String(), "1 can never go on, says the runtime")
	h.add(time.Second, reading{}) // it ended: someone else woke it after all
	assert.Empty(t, h.findings())
}

func TestHistoryAlarmsByTheWholeHeapAndNamesTheSitesThatGrow(t *testing.T) {
	leaks, steady := &site{where: "app.leaks (app.go:3)"}, &site{where: "app.steady (app.go:4)"}
	sample := func(live func(i int) float64) func(i int) reading {
		return func(i int) reading {
			return reading{live: live(i), grown: map[*site]inUse{leaks: {float64(i), float64(i) * (1 << 19)}, steady: {9, 9 << 20}}}
		}
	}
	found := filledHistory(t, Options{}, 20, sample(func(i int) float64 { return float64(i) * (1 << 19) })).findings()
	require.Len(t, found, 1)
	assert.Equal(t, Heap, found[0].Kind)
	assert.Equal(t, leaks.where, found[0].Where)
	assert.Contains(t, found[0].String(), "1 MiB/s")
	// What one site gains others lose, so nothing leaks.
	assert.Empty(t, filledHistory(t, Options{}, 20, sample(func(int) float64 { return 64 << 20 })).findings())
}

func TestHistorySaysSoWhereTheHeapGrowsByNoSingleSite(t *testing.T) {
	found := filledHistory(t, Options{}, 20, func(i int) reading { return reading{live: float64(i) * (1 << 20)} }).findings()
	require.Len(t, found, 1)
	assert.Equal(t, noSite, found[0].Where)
}

func TestHistoryNamesTargetsAndWhoMayHaveOpenedThem(t *testing.T) {
	opener := &site{where: "app.open (app.go:9) by os.Open", opens: true}
	h := filledHistory(t, Options{}, 20, func(i int) (r reading) {
		for k := range 2 * i {
			r.descriptors = append(r.descriptors, descriptor{target: "file /data/part-#", exact: fmt.Sprintf("/data/part-%d", k)})
		}
		r.descriptors = append(r.descriptors, descriptor{target: "pipe", exact: "pipe:[7]"})
		r.grown = map[*site]inUse{opener: {float64(2 * i), float64(400 * i)}}
		return r
	})
	found := h.findings()
	require.Len(t, found, 1)
	assert.Equal(t, "file /data/part-#", found[0].Where)
	assert.Equal(t, "/data/part-37", found[0].State)
	assert.Equal(t, []string{opener.where}, found[0].Openers)
	assert.Contains(t, found[0].String(), "may be opened by app.open")
}

func TestHistoryIgnoresWhatItIsToldTo(t *testing.T) {
	h := filledHistory(t, Options{Ignore: []string{"app.start"}}, 20, func(i int) reading {
		return reading{goroutines: some(5*i, "app.leaks", "select")}
	})
	assert.Empty(t, h.findings())
}

func TestALongHistoryKeepsItsWholeTimeAtACoarserGrain(t *testing.T) {
	const n = 10 * maxSamples
	h := filledHistory(t, Options{}, n, func(i int) reading {
		once := &site{where: fmt.Sprintf("app.once%d", i)}
		return reading{
			goroutines:  append(some(1+i/10, "app.leaks", "select"), some(1, fmt.Sprintf("app.f%d", i), "running")...),
			descriptors: []descriptor{{target: fmt.Sprintf("file %d", i)}},
			grown:       map[*site]inUse{once: {1, 1 << 20}},
		}
	})
	assert.LessOrEqual(t, len(h.times), maxSamples+1)
	assert.Zero(t, h.times[0])
	assert.Greater(t, h.times[len(h.times)-1], 0.98*n/2)
	for name, values := range h.goroutines {
		require.Len(t, values, len(h.times), name)
	}
	assert.Less(t, len(h.goroutines), 2*maxSamples, "what came and went is forgotten")
	assert.Less(t, len(h.stacks)+len(h.targets)+len(h.sites), 6*maxSamples)
	found := h.findings()
	require.Len(t, found, 1)
	assert.InDelta(t, 0.2, found[0].Trend.Slope, 0.01)
}

func TestWhatGrewUntilTheCloseIsFoundWithoutAWordOfWhenTheLoadEnded(t *testing.T) {
	h := filledHistory(t, Options{}, 20, func(i int) reading {
		if i >= 16 {
			return reading{} // closed
		}
		return reading{goroutines: some(5*i, "app.leaks", "select")}
	})
	assert.Empty(t, h.findings())
	assert.Len(t, h.findingsBeforeClosing(), 1)
}
