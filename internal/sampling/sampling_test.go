package sampling_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/sampling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachPairIsConsecutiveAndHasTheTimeBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type pair struct {
			before, now int
			within      time.Duration
		}
		n, ended := 0, 0
		var pairs []pair
		l, err := sampling.Start(t.Context(), sampling.Plan[int]{
			Every: time.Second,
			Read: func() int {
				n++
				if n == 3 {
					time.Sleep(500 * time.Millisecond) // a sample that comes late
				}
				return n
			},
			Pair: func(before, now int, from, to time.Time) { pairs = append(pairs, pair{before, now, to.Sub(from)}) },
			End:  func() { time.Sleep(time.Second); ended++ }, // which Stop waits for
		})
		require.NoError(t, err)
		time.Sleep(3100 * time.Millisecond)
		l.Stop()
		l.Stop()
		assert.Equal(t, []pair{{1, 2, time.Second}, {2, 3, 1500 * time.Millisecond}, {3, 4, 500 * time.Millisecond}}, pairs)
		assert.Equal(t, 1, ended)
		last, samples := l.Last()
		assert.Equal(t, 4, last)
		assert.Equal(t, 4, samples)
	})
}

func TestSamplingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := sampling.Start(ctx, sampling.Plan[int]{
			Every: time.Second, Read: func() int { return 0 },
		})
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		select {
		case <-l.Done():
		default:
			t.Fatal("it goes on")
		}
		l.Stop()
	})
}

func TestSamplingRefusesWhatItCannotDo(t *testing.T) {
	_, err := sampling.Start(t.Context(), sampling.Plan[int]{Every: time.Microsecond})
	assert.ErrorContains(t, err, "at least 1ms")
	_, err = sampling.Start(t.Context(), sampling.Plan[int]{Every: time.Second})
	assert.ErrorContains(t, err, "Read is needed")
}
