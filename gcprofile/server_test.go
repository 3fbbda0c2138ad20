package gcprofile_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
	"netbench/load"
	"netbench/models"
	"netbench/models/servicetest"
)

const mebibyte = 1 << 20

// heapAfterCollection is the heap of a server once its garbage is gone.
func heapAfterCollection(t *testing.T, spec gcprofile.Spec) float64 {
	s := start(t, spec)
	// A lookup in the live set does not change it.
	p := s.Plan(4, 0)
	p.Requests, p.Duration = 400, time.Minute
	r, err := load.Run(t.Context(), p)
	require.NoError(t, err)
	require.EqualValues(t, 400, r.Requests)
	require.NoError(t, s.Collect(t.Context()))
	now, err := s.Runtime(t.Context())
	require.NoError(t, err)
	return float64(now.HeapLive)
}

func TestALiveSetIsAsLargeAsAskedAndIsNeverCollected(t *testing.T) {
	keepsDescriptors(t)
	empty := heapAfterCollection(t, gcprofile.Spec{})
	for _, objects := range []gcprofile.Objects{gcprofile.SmallObjects, gcprofile.LargeObjects} {
		t.Run(string(objects), func(t *testing.T) {
			live := heapAfterCollection(t, gcprofile.Spec{Live: 24 * mebibyte, Objects: objects}) - empty
			assert.InEpsilon(t, 24*mebibyte, live, 0.03)
		})
	}
}

// The time that the collector spends is that of marking, so it grows with what is there.
// The least of several tries is that which other processes disturbed least.
func TestALiveSetIsTraced(t *testing.T) {
	keepsDescriptors(t)
	marking := func(spec gcprofile.Spec) float64 {
		s := start(t, spec)
		least := math.Inf(1)
		for range 4 {
			before, err := s.Runtime(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.Collect(t.Context()))
			after, err := s.Runtime(t.Context())
			require.NoError(t, err)
			require.Greater(t, after.GCCycles, before.GCCycles)
			least = min(least, after.GCCPU-before.GCCPU)
		}
		return least
	}
	empty := marking(gcprofile.Spec{})
	assert.Greater(t, marking(gcprofile.Spec{Live: 32 * mebibyte, Objects: gcprofile.SmallObjects}), 4*empty)
	assert.Greater(t, marking(gcprofile.Spec{Live: 32 * mebibyte, Objects: gcprofile.LargeObjects}), 2*empty)
}

func TestAHabitAllocatesOnTheHeapWhatItSays(t *testing.T) {
	keepsDescriptors(t)
	for alloc, want := range map[gcprofile.Alloc]struct{ objects, bytes float64 }{
		"none":   {0, 0},
		"1KiB":   {1, 1 << 10},
		"64KiB":  {1, 64 << 10},
		"small":  {200, 100 * (64 + 32)},
		"thrice": {3, 3 * 112}, // the size class of 100 bytes
	} {
		t.Run(string(alloc), func(t *testing.T) {
			s := start(t, gcprofile.Spec{Live: 1 * mebibyte, Alloc: alloc})
			p := s.Plan(2, 0)
			p.Requests, p.Duration = 2000, time.Minute
			session, err := load.Dial(t.Context(), p)
			require.NoError(t, err)
			defer session.Close()
			_, err = session.Run(t.Context(), load.Span{Requests: 100})
			require.NoError(t, err)
			before, err := s.Runtime(t.Context())
			require.NoError(t, err)
			r, err := session.Run(t.Context(), load.Span{})
			require.NoError(t, err)
			after, err := s.Runtime(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 2000, r.Requests)
			// Asking the runtime costs some hundred objects itself, as a second answer
			// right after the first shows.
			again, err := s.Runtime(t.Context())
			require.NoError(t, err)
			per := func(before, after, again uint64) float64 {
				return (float64(after-before) - float64(again-after)) / float64(r.Requests)
			}
			objects := per(before.Mallocs, after.Mallocs, again.Mallocs)
			bytes := per(before.AllocBytes, after.AllocBytes, again.AllocBytes)
			if raceDetector {
				assert.InDelta(t, want.objects, objects, 2)
				assert.InDelta(t, want.bytes, bytes, 8<<10)
				return
			}
			assert.InDelta(t, want.objects, objects, 0.5)
			assert.InDelta(t, want.bytes, bytes, 64)
		})
	}
}

// What a request has allocated is garbage once it is answered, though its connection
// lives on.
func TestWhatARequestAllocatedIsDroppedWhenItIsAnswered(t *testing.T) {
	keepsDescriptors(t)
	s := start(t, gcprofile.Spec{Alloc: "8MiB"})
	p := s.Plan(4, 0)
	p.Requests, p.Duration = 20, time.Minute
	session, err := load.Dial(t.Context(), p)
	require.NoError(t, err)
	defer session.Close()
	r, err := session.Run(t.Context(), load.Span{})
	require.NoError(t, err)
	require.EqualValues(t, 20, r.Requests)
	require.NoError(t, s.Collect(t.Context()))
	now, err := s.Runtime(t.Context())
	require.NoError(t, err)
	assert.Less(t, now.HeapLive, uint64(4*mebibyte))
}

func TestTheHeapServerAnswersJSONOnEveryModel(t *testing.T) {
	keepsDescriptors(t)
	for _, model := range []string{"goroutine", "reactor", "reuseport-reactor", "prefork-goroutine"} {
		t.Run(model, func(t *testing.T) {
			if known()[model] == nil {
				t.Skip("this platform has no model " + model)
			}
			s := start(t, gcprofile.Spec{Model: model, Live: 2 * mebibyte, Alloc: "1KiB"})
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
			r, err := client.Post("http://"+s.Addr()+"/json", "text/plain", strings.NewReader("hello"))
			require.NoError(t, err)
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			var answer struct{ Key, Found, Objects, Sum, Body uint64 }
			require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
			assert.EqualValues(t, 5, answer.Body)
			assert.NotZero(t, answer.Found, "it was looked up in the live set")
			assert.InEpsilon(t, 2*2*mebibyte/97, answer.Objects, 0.01)
			assert.NotZero(t, answer.Sum)
		})
	}
}

func TestTheHeapServiceIsParsedByItsName(t *testing.T) {
	for name, want := range map[string]string{
		"heap":           "heap+live=0+objects=small+alloc=none",
		"heap+live=1GiB": "heap+live=1GiB+objects=small+alloc=none",
		"heap+live=1.5KiB+objects=large+alloc=64KiB+spin=3": "heap+live=1536B+objects=large+alloc=64KiB+spin=3",
		"heap+alloc=thrice": "heap+live=0+objects=small+alloc=thrice",
	} {
		s, err := models.ParseService(name)
		require.NoError(t, err)
		assert.Equal(t, want, s.Name())
		again, err := models.ParseService(s.Name())
		require.NoError(t, err)
		assert.Equal(t, s, again)
	}
	for name, says := range map[string]string{
		"heap+live=3GiB":      "want at most 2GiB",
		"heap+live=much":      `"much" is not a size`,
		"heap+live=-1MiB":     "is not a size",
		"heap+live=NaN":       "is not a size",
		"heap+objects=middle": "want small or large",
		"heap+alloc=1GiB":     "want none, small, a size from 1B to 16MiB, thrice",
		"heap+alloc=0":        "want none",
		"heap+dead=1":         `option "dead" is unknown here (want live, objects, alloc, spin or wait)`,
	} {
		_, err := models.ParseService(name)
		require.ErrorContains(t, err, says, name)
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestAnswersDependOnTheRequestsAlone(t *testing.T) {
	request := "POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	input := []byte(strings.Repeat(request, 3) + "GET / HTTP/1.0\r\n\r\n")
	for _, alloc := range []gcprofile.Alloc{"none", "1KiB", "small"} {
		service := gcprofile.NewHeap(mebibyte, gcprofile.SmallObjects, alloc)
		require.NoError(t, models.Prepare(service))
		whole, err := servicetest.Run(service, input, nil)
		require.NoError(t, err)
		require.Equal(t, 4, whole.Steps)
		split, err := servicetest.Run(service, input, []byte{1, 7, 3})
		require.NoError(t, err)
		assert.Equal(t, whole, split)
	}
}
