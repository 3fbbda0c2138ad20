package front_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/gcprofile/cache/front"
	"netbench/gcprofile/cache/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a cache without a bound.
type shelf struct{ pages sync.Map }

func (s *shelf) Get(key uint64) ([]byte, bool) {
	page, ok := s.pages.Load(key)
	if !ok {
		return nil, false
	}
	return page.([]byte), true
}

func (s *shelf) Set(key uint64, page []byte) { s.pages.Store(key, page) }

func good() front.Config {
	return front.Config{
		Store: new(shelf), Sizes: traces.Varying, AtOnce: 2, Delay: time.Second,
		Trace: []traces.Request{{Key: 5}, {Key: 6}, {Key: 5}},
	}
}

func get(ctx context.Context, f *front.Front, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return w
}

func TestPagesAreMadeOnceAndAreTheSameFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := front.New(good())
		require.NoError(t, err)
		for i, want := range []struct {
			path, found string
			key         uint64
			took        time.Duration
		}{
			{"/next", "miss", 5, time.Second}, {"/next", "miss", 6, time.Second}, {"/next", "hit", 5, 0},
			{"/next", "hit", 5, 0}, // from the beginning again
			{"/page/6", "hit", 6, 0}, {"/page/7", "miss", 7, time.Second}, {"/page/7", "hit", 7, 0},
		} {
			began := time.Now()
			w := get(t.Context(), f, want.path)
			assert.Equal(t, http.StatusOK, w.Code, i)
			assert.Equal(t, want.found, w.Header().Get("X-Cache"), i)
			assert.Equal(t, front.Page(want.key, traces.Varying), w.Body.Bytes(), i)
			assert.Equal(t, want.took, time.Since(began), i)
		}
		s := f.Stats()
		assert.Equal(t, front.Stats{Hits: 4, Misses: 3}, s)
		assert.InDelta(t, 4.0/7, s.HitRatio(front.Stats{}), 1e-9)
	})
}

func TestTheSourceMakesNoMoreAtOnceThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := front.New(good())
		require.NoError(t, err)
		began := time.Now()
		var all sync.WaitGroup
		for _, path := range []string{"/page/1", "/page/2", "/page/3", "/page/4", "/page/5"} {
			all.Go(func() { get(t.Context(), f, path) })
		}
		all.Wait()
		assert.Equal(t, 3*time.Second, time.Since(began), "two, two and one")
	})
}

func TestAClientThatLeavesFreesTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := front.New(good())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, path := range []string{"/page/1", "/page/2", "/page/3"} { // one of them waits for its turn
			all.Go(func() { get(ctx, f, path) })
		}
		synctest.Wait()
		began := time.Now()
		cancel()
		all.Wait()
		assert.Zero(t, time.Since(began))
		assert.Equal(t, front.Stats{Misses: 3, Gone: 3}, f.Stats())
		get(t.Context(), f, "/page/1")
		assert.Equal(t, time.Second, time.Since(began))
	})
}

func TestWarmGoesThroughTheTraceWithoutWaitingOrCounting(t *testing.T) {
	f, err := front.New(good())
	require.NoError(t, err)
	began := time.Now()
	f.Warm(2)
	assert.Less(t, time.Since(began), time.Second)
	assert.Zero(t, f.Stats())
	assert.Equal(t, "hit", get(t.Context(), f, "/next").Header().Get("X-Cache"))
}

func TestWhatIsNoPageIsRefused(t *testing.T) {
	f, err := front.New(good())
	require.NoError(t, err)
	for _, path := range []string{"/page/x", "/page/-1", "/page/18446744073709551616", "/"} {
		assert.Equal(t, http.StatusNotFound, get(t.Context(), f, path).Code, path)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/next", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestConfigThatCannotBeMeantIsAnError(t *testing.T) {
	for field, change := range map[string]func(*front.Config){
		"Store":  func(c *front.Config) { c.Store = nil },
		"Sizes":  func(c *front.Config) { c.Sizes = "" },
		"Trace":  func(c *front.Config) { c.Trace = nil },
		"Delay":  func(c *front.Config) { c.Delay = -1 },
		"AtOnce": func(c *front.Config) { c.AtOnce = 0 },
	} {
		c := good()
		change(&c)
		_, err := front.New(c)
		assert.ErrorContains(t, err, "Config."+field)
	}
}
