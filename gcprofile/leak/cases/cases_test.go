package cases_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/leak"
	"netbench/gcprofile/leak/cases"
)

// quick is a case at the size of a test: leaks at 250 requests a second, and a detector
// that looks often.
func quick(name string, cured bool) spec {
	s := spec{
		Case: name, Cured: cured, Found: !cured,
		Size: cases.Size{Payload: 64 << 10, Idle: 60 * time.Millisecond},
		Load: cases.Load{Rate: 250},
		For:  20 * time.Second,
		Options: leak.Options{
			Interval: 20 * time.Millisecond, Warmup: 200 * time.Millisecond, Grace: time.Millisecond,
			Goroutines: 24, Heap: 256 << 10, Descriptors: 24, ProfileRate: 512,
		},
	}
	if cured {
		s.Samples, s.Options.Grace = 30, 5*time.Second
	}
	return s
}

// watchable are the cases that can be found on this platform: descriptors are watched
// on Linux only.
func watchable() (all []cases.Case) {
	return slices.DeleteFunc(cases.All(), func(c cases.Case) bool { return c.Kind == leak.Descriptor && runtime.GOOS != "linux" })
}

// quickly runs all cases and gives each outcome to a test of its own.
func quickly(t *testing.T, cured bool, judge func(t *testing.T, c cases.Case, o outcome)) {
	all := watchable()
	specs, outcomes, errs := make([]spec, len(all)), make([]outcome, len(all)), make([]error, len(all))
	for i, c := range all {
		specs[i] = quick(c.Name, cured)
	}
	inProcesses(t, 6, specs, func(i int, o outcome, err error) { outcomes[i], errs[i] = o, err })
	for i, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			require.NoError(t, errs[i])
			judge(t, c, outcomes[i])
		})
	}
}

func TestEveryLeakIsFoundAndNamed(t *testing.T) {
	quickly(t, false, func(t *testing.T, c cases.Case, o outcome) {
		assert.True(t, o.Right, "want a %s leak at %q, found %q after %d requests:\n%s", c.Kind, c.Where, o.Found, o.Done, o.Report)
		t.Logf("after %v and %d requests: %s", o.After, o.Done, o.Report)
	})
}

func TestNoCureIsTakenForALeak(t *testing.T) {
	quickly(t, true, func(t *testing.T, c cases.Case, o outcome) {
		assert.Empty(t, o.Found, "%d requests:\n%s", o.Done, o.Report)
		assert.Empty(t, o.Short, "silence of too few samples says nothing")
		assert.GreaterOrEqual(t, o.Done, 30, "silence without load says nothing")
	})
}

func TestCasesAreDistinctAndToldApartByTheirNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases.All() {
		assert.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
		assert.NotEmpty(t, c.Leak, c.Name)
		assert.NotEmpty(t, c.Cure, c.Name)
		same, err := cases.Named(c.Name)
		require.NoError(t, err)
		assert.Equal(t, c.Where, same.Where)
	}
	_, err := cases.Named("none")
	assert.ErrorContains(t, err, `"none" is not known`)
}

func TestDriveRefusesALoadThatIsNone(t *testing.T) {
	c, err := cases.Named("cache")
	require.NoError(t, err)
	component, err := c.Cured(cases.Size{})
	require.NoError(t, err)
	for _, l := range []cases.Load{{}, {Rate: -1}, {Rate: 1, Most: -1}} {
		_, err := cases.Drive(t.Context(), component, l)
		assert.ErrorContains(t, err, "use a rate above 0", "%+v", l)
	}
}

func TestDriveMakesNoMoreThanItMay(t *testing.T) {
	c, err := cases.Named("cache")
	require.NoError(t, err)
	component, err := c.Cured(cases.Size{})
	require.NoError(t, err)
	done, err := cases.Drive(t.Context(), component, cases.Load{Rate: 10_000, Most: 7})
	require.NoError(t, err)
	assert.Equal(t, 7, done)
}

func TestDriveEndsWithItsContext(t *testing.T) {
	c, err := cases.Named("cache")
	require.NoError(t, err)
	component, err := c.Cured(cases.Size{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done, err := cases.Drive(ctx, component, cases.Load{Rate: 1000})
	require.NoError(t, err)
	assert.Positive(t, done)
	assert.LessOrEqual(t, done, 1000, "a second has not passed, if only 50 ms were asked for")
}
