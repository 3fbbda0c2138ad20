package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	waitFor = 20 * time.Second // at most, for what takes milliseconds
	poll    = 5 * time.Millisecond
)

// often is for tests: samples every few milliseconds.
var often = Options{Interval: 5 * time.Millisecond, Warmup: 5 * time.Millisecond, Grace: time.Millisecond, ProfileRate: 512}

// recorder is a test that tells what it was told.
type recorder struct {
	cleanups []func()
	errors   []string
	logs     []string
	fatal    string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) { r.fatal = fmt.Sprintf(format, args...) }
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

// end is the end of the test.
func (r *recorder) end() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

// leaves is a load that leaves goroutines behind.
type leaves struct {
	until chan struct{}
	wg    sync.WaitGroup
}

//go:noinline
func (l *leaves) one() { l.wg.Go(func() { <-l.until }) }

func (l *leaves) close() {
	close(l.until)
	l.wg.Wait()
}

func TestWatchFailsATestThatLeavesGoroutinesBehindAndNamesThem(t *testing.T) {
	var r recorder
	d := Watch(&r, often)
	l := &leaves{until: make(chan struct{})}
	defer l.close()
	require.Eventually(t, func() bool {
		for range 5 {
			l.one()
		}
		return len(d.Findings()) > 0
	}, waitFor, poll)
	r.end()
	require.NotEmpty(t, r.errors)
	text := strings.Join(r.errors, "\n")
	assert.Contains(t, text, "goroutine leak: netbench/gcprofile/leak.(*leaves).one.func1")
	assert.Contains(t, text, "grows from")
	assert.Contains(t, text, "left behind")
	assert.Contains(t, text, "created by sync.(*WaitGroup).Go")
	require.Len(t, r.logs, 1)
	assert.Contains(t, r.logs[0], "goroutine leak profile", "the report says whether there is one")
}

func TestWatchFindsWhatWasLeftBehindThoughItNoLongerGrows(t *testing.T) {
	var r recorder
	l := &leaves{until: make(chan struct{})}
	defer l.close()
	d := Watch(&r, often)
	for range 20 {
		l.one()
	}
	require.Eventually(t, func() bool { return d.Samples() > 30 }, waitFor, poll)
	assert.Empty(t, d.Findings(), "what was there at the first sample does not grow")
	r.end()
	require.Len(t, r.errors, 1)
	assert.Contains(t, r.errors[0], "20 left behind")
	assert.NotContains(t, r.errors[0], "grows")
}

func TestWatchPassesATestWhoseGoroutinesComeAndGo(t *testing.T) {
	var r recorder
	o := often
	o.Grace = waitFor
	d := Watch(&r, o)
	require.Eventually(t, func() bool {
		l := &leaves{until: make(chan struct{})}
		for range 20 {
			l.one()
		}
		l.close()
		return d.Samples() > 20
	}, waitFor, poll)
	d.EndLoad()
	r.end()
	assert.Empty(t, r.errors)
	require.Len(t, r.logs, 1)
	assert.Contains(t, r.logs[0], "no leak found")
}

func TestWatchFailsATestThatIsTooShortToJudge(t *testing.T) {
	var r recorder
	Watch(&r, Options{Grace: time.Millisecond}) // half a second between samples
	r.end()
	require.Len(t, r.errors, 1)
	assert.Contains(t, r.errors[0], "0 samples")
	assert.Contains(t, r.errors[0], "12 are needed")
}

// kept is what the test below keeps.
var kept [][]byte

//go:noinline
func keeps(n int) { kept = append(kept, make([]byte, n)) }

func TestDetectorNamesTheLineThatKeepsMemory(t *testing.T) {
	d, err := Start(often)
	require.NoError(t, err)
	defer func() { kept = nil }()
	var found []Finding
	require.Eventually(t, func() bool {
		keeps(64 << 10)
		found = d.Findings()
		return len(found) > 0
	}, waitFor, poll)
	d.EndLoad()
	r := d.Stop()
	require.NotEmpty(t, r.Findings)
	assert.Equal(t, Heap, r.Findings[0].Kind)
	assert.Contains(t, r.Findings[0].Where, "leak.keeps (detector_test.go:")
	assert.Empty(t, r.Undecided)
}

func TestStopRestoresTheProfileRateAndMayBeCalledTwice(t *testing.T) {
	was := runtime.MemProfileRate
	defer func() { runtime.MemProfileRate = was }()
	const before = 123_457 // that of no other test, which may not have restored its own
	runtime.MemProfileRate = before
	d, err := Start(often)
	require.NoError(t, err)
	assert.Equal(t, often.ProfileRate, runtime.MemProfileRate)
	first := d.Stop()
	assert.Equal(t, before, runtime.MemProfileRate)
	assert.Equal(t, first, d.Stop())
	d.EndLoad()
}

func TestSamplesBeginAfterTheWarmUp(t *testing.T) {
	o := often
	o.Warmup = 100 * time.Millisecond
	d, err := Start(o)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return d.Samples() > 0 }, waitFor, poll)
	d.Stop()
	assert.GreaterOrEqual(t, d.history.times[0], o.Warmup.Seconds())
}

func TestWhatTheDetectorItselfKeepsIsNoGrowth(t *testing.T) {
	o := often
	o.ProfileRate = 1
	d, err := Start(o)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return d.Samples() > 20 }, waitFor, poll)
	d.EndLoad()
	_, grown, err := d.source.heap()
	require.NoError(t, err)
	assert.NotEmpty(t, grown)
	for s := range grown {
		assert.False(t, s.own, "%v", s.stack)
	}
	d.Stop()
}

func TestWhatEndsWithinTheGraceIsNotLeftBehind(t *testing.T) {
	o := often
	o.Grace = waitFor
	d, err := Start(o)
	require.NoError(t, err)
	l := &leaves{until: make(chan struct{})}
	var open []*os.File
	for range 20 {
		l.one()
		in, out, err := os.Pipe()
		require.NoError(t, err)
		open = append(open, in, out)
	}
	require.Eventually(t, func() bool { return d.Samples() > 20 }, waitFor, poll)
	d.EndLoad()
	time.AfterFunc(600*time.Millisecond, l.close) // later than goleak waits by itself
	closed := make(chan struct{})
	time.AfterFunc(800*time.Millisecond, func() {
		defer close(closed)
		for _, f := range open {
			_ = f.Close()
		}
	})
	r := d.Stop()
	<-closed
	assert.Empty(t, r.Findings)
}

func TestOnlyOneDetectorWatchesAtATime(t *testing.T) {
	d, err := Start(often)
	require.NoError(t, err)
	_, err = Start(often)
	assert.ErrorIs(t, err, ErrWatching)
	var r recorder
	assert.Nil(t, Watch(&r, often))
	assert.Contains(t, r.fatal, "another detector")
	d.Stop()
	d, err = Start(often)
	require.NoError(t, err)
	d.Stop()
}

func TestStartRefusesOptionsThatMeanNothing(t *testing.T) {
	for _, c := range []struct {
		options Options
		says    string
	}{
		{Options{Interval: -1}, "Interval"},
		{Options{Interval: time.Microsecond}, "1ms or more"},
		{Options{Warmup: -1}, "Warmup"},
		{Options{Grace: -1}, "Grace"},
		{Options{Goroutines: -1}, "least growth"},
		{Options{Heap: -1}, "least growth"},
		{Options{Descriptors: -1}, "least growth"},
		{Options{ProfileRate: -1}, "ProfileRate"},
		{Options{Ignore: []string{" "}}, "empty entry"},
	} {
		_, err := Start(c.options)
		assert.ErrorContains(t, err, c.says)
	}
	d, err := Start(Options{}) // the one before did not leave the process watched
	require.NoError(t, err)
	d.Stop()
}

func TestTimersAndTickersThatNobodyHoldsAreNoLeak(t *testing.T) {
	d, err := Start(often)
	require.NoError(t, err)
	for d.Samples() < 30 {
		for range 100 {
			select {
			case <-time.After(time.Hour):
			case <-time.NewTicker(time.Hour).C:
			default:
			}
		}
		runtime.Gosched()
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
	d.EndLoad()
	assert.Empty(t, d.Stop().Findings)
}
