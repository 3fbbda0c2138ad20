package flight_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/flight"
	"netbench/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, c flight.Config) *flight.Recorder {
	t.Helper()
	r, err := flight.Start(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Stop()) })
	return r
}

// files are the names in a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestASlowRequestLeavesAWholeTraceAndAFastOneNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "traces")
	var mu sync.Mutex
	var lines []string
	r := start(t, flight.Config{Threshold: 50 * time.Millisecond, Dir: dir, Log: func(s string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, s)
	}})
	release := make(chan struct{})
	h := r.Middleware(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			<-release
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	quick := httptest.NewRecorder()
	h.ServeHTTP(quick, httptest.NewRequest("GET", "/quick", nil))
	assert.Equal(t, http.StatusTeapot, quick.Code)
	assert.Empty(t, files(t, dir))

	time.AfterFunc(100*time.Millisecond, func() { close(release) })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/slow", nil))
	require.NoError(t, r.Stop())
	require.NoError(t, r.Stop())
	names := files(t, dir)
	require.Len(t, names, 1)
	data, err := os.ReadFile(filepath.Join(dir, names[0]))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(data), "go 1."), "an execution trace begins with its version")
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "GET /slow took ")
	assert.Contains(t, lines[0], names[0])
}

func TestTracesAreBoundedInTimeAndNumber(t *testing.T) {
	dir := t.TempDir()
	seldom := start(t, flight.Config{Threshold: time.Millisecond, Dir: dir, Every: time.Hour})
	for range 100 {
		seldom.Observe("it", time.Second)
	}
	require.NoError(t, seldom.Stop())
	written, skipped := seldom.Counts()
	assert.EqualValues(t, 1, written)
	assert.EqualValues(t, 99, skipped)

	oldest := files(t, dir)
	often := start(t, flight.Config{Threshold: time.Millisecond, Dir: dir, Every: 1, Files: 3})
	for i := range uint64(5) {
		require.Eventually(t, func() bool {
			often.Observe("it", time.Second)
			n, _ := often.Counts()
			return n > i
		}, 10*time.Second, time.Millisecond)
	}
	require.NoError(t, often.Stop())
	assert.Len(t, files(t, dir), 3, "nothing but three traces, whoever wrote them")
	assert.NotContains(t, files(t, dir), oldest[0], "the oldest made room")
}

func TestATraceReachesBackBeforeTheSlowRequest(t *testing.T) {
	for _, c := range []struct{ threshold, keep, want time.Duration }{
		{time.Millisecond, 0, flight.DefaultKeep},
		{time.Minute, 0, 2 * time.Minute},
		{time.Minute, time.Second, time.Second}, // as it was asked for
	} {
		r := start(t, flight.Config{Threshold: c.threshold, Keep: c.keep, Dir: t.TempDir()})
		assert.Equal(t, c.want, r.Keep())
		require.NoError(t, r.Stop())
	}
}

func TestWhatKilledProgramsLeftMakesRoom(t *testing.T) {
	dir := t.TempDir()
	long := time.Now().Add(-time.Hour)
	for name, at := range map[string]time.Time{"slow-1.tmp": long, "slow-2.tmp": time.Now(), "other.tmp": long} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	r := start(t, flight.Config{Threshold: time.Millisecond, Dir: dir})
	r.Observe("it", time.Second)
	require.NoError(t, r.Stop())
	left := files(t, dir)
	assert.Len(t, left, 3, "the trace, %v", left)
	assert.NotContains(t, left, "slow-1.tmp")
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, c := range map[string]flight.Config{
		"threshold is 0s":  {Dir: t.TempDir()},
		"no directory":     {Threshold: 1},
		"Files -1":         {Threshold: 1, Dir: t.TempDir(), Files: -1},
		"not a directory":  {Threshold: 1, Dir: file},
		"flight recorder:": {Threshold: 1, Dir: filepath.Join(file, "below")},
	} {
		_, err := flight.Start(c)
		if assert.ErrorContains(t, err, want) {
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	r := start(t, flight.Config{Threshold: time.Hour, Dir: t.TempDir()})
	_, err := flight.Start(flight.Config{Threshold: time.Hour, Dir: t.TempDir()})
	assert.Error(t, err, "a program has one recorder")
	require.NoError(t, r.Stop())
}

func TestATraceThatCannotBeWrittenIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "traces")
	r, err := flight.Start(flight.Config{Threshold: 1, Dir: dir})
	require.NoError(t, err)
	require.NoError(t, os.Remove(dir))
	r.Observe("it", time.Second)
	assert.ErrorIs(t, r.Stop(), os.ErrNotExist)
}

func TestAnObservedServiceAnswersAsItself(t *testing.T) {
	dir := t.TempDir()
	r := start(t, flight.Config{Threshold: 20 * time.Millisecond, Dir: dir})
	for name, blocks := range map[string]bool{"echo": false, "echo+wait=40ms": true} {
		plain, err := models.ParseService(name)
		require.NoError(t, err)
		observed := r.Service(plain)
		assert.Equal(t, plain.Name(), observed.Name())
		assert.Equal(t, plain.Limits(), observed.Limits())
		s := observed.Open()
		consumed, reply, next := s.Step([]byte("hello"), nil)
		b, is := s.(models.Blocker)
		assert.Equal(t, blocks, is, "%s: a session blocks only if its own does", name)
		if blocks {
			assert.Equal(t, models.Block, next.Op)
			consumed, reply, _ = b.Work([]byte("hello"), nil)
		}
		assert.Equal(t, 5, consumed)
		assert.Equal(t, "hello", string(reply))
	}
	require.NoError(t, errors.Join(r.Stop()))
	assert.Len(t, files(t, dir), 1, "of the work that waited")
}

// prepared is a service that has to be made ready.
type prepared struct {
	models.Service
	err  error
	made *int
}

func (p prepared) Prepare() error {
	*p.made++
	return p.err
}

func TestAnObservedServiceIsPreparedAsItself(t *testing.T) {
	r := start(t, flight.Config{Dir: t.TempDir(), Threshold: time.Hour})
	made, full := 0, errors.New("it is full")
	plain, err := models.ParseService("echo")
	require.NoError(t, err)
	assert.NoError(t, models.Prepare(r.Service(prepared{plain, nil, &made})))
	assert.ErrorIs(t, models.Prepare(r.Service(prepared{plain, full, &made})), full)
	assert.Equal(t, 2, made)
	assert.NoError(t, models.Prepare(r.Service(plain)), "there is nothing to prepare")
}
