package cases_test

import (
	"context"
	"runtime"
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
		Case: name, Cured: cured,
		Size: cases.Size{Payload: 64 << 10, Idle: 40 * time.Millisecond},
		Load: cases.Load{Rate: 250},
		For:  20 * time.Second,
		Options: leak.Options{
			Interval: 20 * time.Millisecond, Warmup: 200 * time.Millisecond, Grace: 5 * time.Second,
			Goroutines: 24, Heap: 256 << 10, Descriptors: 24, ProfileRate: 512,
		},
	}
	if cured {
		s.For = time.Second
	}
	return s
}

// skipUnwatched skips cases of descriptors where they cannot be read.
func skipUnwatched(t *testing.T, c cases.Case) {
	if c.Kind == leak.Descriptor && runtime.GOOS != "linux" {
		t.Skip("descriptors are watched on Linux only")
	}
}

func TestEveryLeakIsFoundAndNamed(t *testing.T) {
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			skipUnwatched(t, c)
			t.Parallel()
			o, err := inProcess(t, quick(c.Name, false))
			require.NoError(t, err)
			assert.True(t, o.Right, "want a %s leak at %q, found %q after %d requests:\n%s", c.Kind, c.Where, o.Found, o.Done, o.Report)
			t.Logf("after %v and %d requests: %s", o.After, o.Done, o.Report)
		})
	}
}

func TestNoCureIsTakenForALeak(t *testing.T) {
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			skipUnwatched(t, c)
			t.Parallel()
			o, err := inProcess(t, quick(c.Name, true))
			require.NoError(t, err)
			assert.Empty(t, o.Found, "%d requests:\n%s", o.Done, o.Report)
			assert.Empty(t, o.Short, "silence of too few samples says nothing")
			assert.Greater(t, o.Done, 50, "silence without load says nothing")
		})
	}
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
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done, err := cases.Drive(ctx, component, cases.Load{Rate: 10_000, Most: 7})
	require.NoError(t, err)
	assert.Equal(t, 7, done)
}
