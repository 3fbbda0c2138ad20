//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/models"
)

// TestWheelClosesWhoIsIdleAndNobodyElse drives the wheel with a clock of its own.
func TestWheelClosesWhoIsIdleAndNobodyElse(t *testing.T) {
	const timeout = 320 * time.Millisecond
	l := &loop{s: &server{}}
	l.out = l.s.pool.Get(1)
	l.wheel.init(timeout)
	idle, busy := &conn{slot: none}, &conn{slot: none}
	l.wheel.watch(idle)
	l.wheel.watch(busy)
	closedAt := time.Duration(0)
	for l.now = 0; l.now < 5*timeout; l.now += time.Millisecond {
		if l.now%(timeout/4) == 0 {
			busy.last = l.now
		}
		if l.now >= l.wheel.due {
			l.expire()
		}
		if closedAt == 0 && idle.phase == dead {
			closedAt = l.now
		}
	}
	assert.GreaterOrEqual(t, closedAt, timeout, "not before the time-out")
	assert.LessOrEqual(t, closedAt, timeout+timeout/32+2*time.Millisecond)
	assert.Equal(t, open, busy.phase)
	assert.Equal(t, uint64(1), l.counts.IdleClosed)
	assert.NotEqual(t, int16(none), busy.slot)
	l.wheel.remove(busy)
	l.expire()
	assert.Equal(t, never, l.wheel.due, "nothing is left to be done")
}

func TestWheelFindsWhoIsIdleAfterALongSleep(t *testing.T) {
	l := &loop{s: &server{}}
	l.out = l.s.pool.Get(1)
	l.wheel.init(time.Second)
	l.now = time.Hour
	conns := make([]conn, 100)
	for i := range conns {
		c := &conns[i]
		c.slot, c.last = none, time.Hour-time.Duration(i)*20*time.Millisecond
		l.wheel.watch(c)
	}
	l.expire()
	for i := range conns {
		want := open
		if l.now-conns[i].last >= time.Second {
			want = dead
		}
		assert.Equal(t, want, conns[i].phase, i)
	}
	assert.Greater(t, l.wheel.due, l.now)
}

// TestAnIdleServerRests: waiting costs next to nothing, however it is done.
func TestAnIdleServerRests(t *testing.T) {
	for _, w := range []Waiting{Block, Park} {
		t.Run(w.String(), func(t *testing.T) {
			s := start(t, models.Config{Service: models.Echo{}}, Options{Wait: w})
			exchange(t, dial(t, s), []byte("x"), []byte("x"))
			const span = 500 * time.Millisecond
			before := used(t)
			<-time.After(span)
			assert.Less(t, used(t)-before, span/5)
		})
	}
}

// used is the CPU time of this process.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
