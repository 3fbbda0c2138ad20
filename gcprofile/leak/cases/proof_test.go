//go:build proof

package cases_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"netbench/gcprofile/leak"
	"netbench/gcprofile/leak/cases"
	"netbench/internal/proof"
)

var (
	leakRounds = flag.Int("leak-rounds", 20, "runs of each version of each case")
	leakLoad   = flag.Duration("leak-load", 30*time.Second, "load of a run; one that leaks ends when it is found")
	leakAtOnce = flag.Int("leak-at-once", 20, "processes at a time")
)

// leakRequests are made in a run, as in the published cases: 1000 workers, 1000
// payloads of 1 MiB.
const leakRequests = 1000

// TestProofLeaks runs each case and its cure again and again, in a process of its own
// each, under a detector with default options, and writes what was found into docs.
func TestProofLeaks(t *testing.T) {
	doc := proof.Begin(t, "Leaks: which are found, how soon, and whether the cured are left alone", "./gcprofile/leak/cases")
	all := watchable()
	type key struct {
		name  string
		cured bool
	}
	rate := leakRequests / leakLoad.Seconds()
	var specs []spec
	for round := range *leakRounds {
		for _, c := range all {
			for _, cured := range []bool{false, true} {
				one := spec{
					Case: c.Name, Cured: cured, For: *leakLoad, Found: !cured && round > 0, Load: cases.Load{Rate: rate},
					Options: leak.Options{Interval: 500 * time.Millisecond, Grace: 10 * time.Second},
				}
				if !cured && round == 0 { // all of them, however long it takes on a busy host
					one.Load.Most, one.For = leakRequests, 4**leakLoad
				}
				specs = append(specs, one)
			}
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	var mu sync.Mutex
	got := map[key][]outcome{}
	began := time.Now()
	inProcesses(t, *leakAtOnce, specs, func(i int, o outcome, err error) {
		mu.Lock()
		defer mu.Unlock()
		s := specs[i]
		name := fmt.Sprintf("%s, cured %v", s.Case, s.Cured)
		if !assert.NoError(t, err, name) {
			return
		}
		got[key{s.Case, s.Cured}] = append(got[key{s.Case, s.Cured}], o)
		if s.Cured {
			assert.Empty(t, o.Found, "%s: %s", name, o.Report)
			assert.Empty(t, o.Short, name)
		} else {
			assert.True(t, o.Right && o.After <= *leakLoad, "%s: after %v found %q: %s", name, o.After, o.Found, o.Report)
			if !s.Found {
				assert.True(t, o.Held, "%s: it was found, but no longer in the end: %s", name, o.Report)
				assert.Equal(t, leakRequests, o.Done, name)
			}
		}
	})
	took := time.Since(began)

	profile := "This toolchain has no goroutine leak profile."
	if pprof.Lookup("goroutineleak") != nil {
		profile = "The runtime's goroutine leak profile was used as well."
	}
	fmt.Fprintf(doc, `Each case of `+"`gcprofile/leak/cases`"+` and its cure ran %d times under %v of load, each
run in a process of its own, %d of them at a time in shuffled order, %v in all. The
load is open loop, %.1f requests a second. The detector had its default options, but for
a grace of 10 s in the end, when so many processes end at once: a sample each 500 ms after
a warm-up of 2 s, the least growth reported 8 goroutines, 1 MiB or 8 descriptors. It was
asked after each sample. %s

A leak is found when a finding of its kind names its place; the time is from the start
of the load, and the run ends then, but for the first one of each case, which goes on to
all %d requests and has to name it in the end, too. A cured version is silent if there
was no finding of any kind at any time, nor anything left behind in the end. The
payloads that summaries are made of have 1 MiB.

| case | what leaks | found as | found | time, median | most | cure | silent |
|---|---|---|--:|--:|--:|---|--:|
`, *leakRounds, *leakLoad, *leakAtOnce, took.Round(time.Second), rate, profile, leakRequests)
	for _, c := range all {
		leaking, cured := got[key{c.Name, false}], got[key{c.Name, true}]
		var times []time.Duration
		for _, o := range leaking {
			if o.Right && o.After <= *leakLoad {
				times = append(times, o.After)
			}
		}
		silent := 0
		for _, o := range cured {
			if len(o.Found) == 0 && o.Short == "" {
				silent++
			}
		}
		slices.Sort(times)
		middle, most := "-", "-"
		if n := len(times); n > 0 {
			middle, most = seconds((times[(n-1)/2]+times[n/2])/2), seconds(times[n-1])
		}
		fmt.Fprintf(doc, "| %s | %s | %s, `%s` | %d/%d | %s | %s | %s | %d/%d |\n", c.Name, c.Leak, c.Kind, c.Where,
			len(times), *leakRounds, middle, most, c.Cure, silent, *leakRounds)
	}
	if t.Failed() {
		t.Log("\n" + doc.String()) // docs keep the table of the last that passed
		return
	}
	doc.Save(t, filepath.Join("..", "..", "..", "docs", "leaks.md"))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
