package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/servicetest"
)

func TestParseServiceFindsWhatNamePrints(t *testing.T) {
	for name, want := range map[string]models.Service{
		"echo":                  models.Echo{},
		"frame":                 models.Frame{},
		"frame+max=10":          models.Frame{Max: 10},
		"line":                  models.Line{},
		"line+max=80":           models.Line{Max: 80},
		"http":                  models.HTTP{},
		"http+header=100":       models.HTTP{MaxHeader: 100},
		"http+line=20+body=10":  models.HTTP{MaxLine: 20, MaxBody: 10},
		"echo+spin=500":         models.Spin{Service: models.Echo{}, Iterations: 500},
		"echo+spin=0":           models.Spin{Service: models.Echo{}},
		"echo+wait=1ms":         models.Waiting{Service: models.Echo{}, Delay: time.Millisecond},
		"http+wait=1.5s+spin=3": models.Spin{Service: models.Waiting{Service: models.HTTP{}, Delay: 1500 * time.Millisecond}, Iterations: 3},
	} {
		got, err := models.ParseService(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
		assert.Equal(t, name, got.Name())
	}
	for _, name := range models.ServiceNames() {
		s, err := models.ParseService(name)
		require.NoError(t, err)
		assert.Equal(t, name, s.Name())
		assert.GreaterOrEqual(t, s.Limits().Request, 1)
	}
}

func TestNameOfEveryServiceParses(t *testing.T) {
	for _, s := range []models.Service{
		models.Frame{Max: -1},
		models.Frame{Max: 1 << 20},
		models.HTTP{MaxHeader: 1, MaxLine: 1 << 20},
		models.HTTP{MaxBody: 1 << 30},
		models.Spin{Service: models.Echo{}, Iterations: -1},
		models.Waiting{Service: models.Echo{}, Delay: -1},
		models.Waiting{Service: models.Echo{}, Delay: time.Microsecond},
	} {
		parsed, err := models.ParseService(s.Name())
		require.NoError(t, err)
		assert.Equal(t, s.Name(), parsed.Name())
		assert.Equal(t, s.Limits(), parsed.Limits())
	}
}

func TestParseServiceSaysWhatIsWrong(t *testing.T) {
	for name, says := range map[string]string{
		"":                  "echo, frame, line, http",
		"ech":               "echo, frame, line, http",
		"Echo":              "+spin=N",
		"echo+":             `option ""`,
		"echo+fast":         `option "fast"`,
		"echo+max=5":        "want spin, wait",
		"frame+body=5":      "want spin, wait, max",
		"http+max=5":        "want spin, wait, line, header, body",
		"frame+max=0":       "want 1 to",
		"frame+max=x":       "want 1 to",
		"echo+spin=-1":      "rounds",
		"echo+spin=1e3":     "rounds",
		"echo+wait=5":       "1ms",
		"echo+wait=-1ms":    "1ms",
		"echo+spin=1+max=5": `option "max"`,
		"echo+spin=1+spin=": "rounds",
	} {
		_, err := models.ParseService(name)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), says)
		assert.Contains(t, err.Error(), `"`+name+`"`, "the error repeats what was asked")
	}
}

func TestSpinAndWaitingChangeNoAnswer(t *testing.T) {
	input := "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	plain := models.HTTP{Now: fixed}
	want := talk(t, plain, input)
	require.Equal(t, 2, want.Steps)
	for _, s := range []models.Service{
		models.Spin{Service: plain, Iterations: 10},
		models.Waiting{Service: plain},
		models.Spin{Service: models.Waiting{Service: plain}, Iterations: 10},
		models.Waiting{Service: models.Spin{Service: plain, Iterations: 10}},
		models.Waiting{Service: models.Waiting{Service: plain}},
	} {
		assert.Equal(t, want, talk(t, s, input), s.Name())
	}
}

func TestWaitingWaitsOncePerAnswer(t *testing.T) {
	const delay = 20 * time.Millisecond
	start := time.Now()
	_, err := servicetest.Run(models.Waiting{Service: models.Line{Now: fixed}, Delay: delay}, []byte("ping\nping\npi"), []byte{1})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(start), 2*delay)

	session := models.Waiting{Service: models.Line{}, Delay: time.Hour}.Open().(models.Blocker)
	_, _, next := session.Step([]byte("pi"), nil)
	assert.Equal(t, models.Block, next.Op)
	consumed, _, next := session.Work([]byte("pi"), nil)
	assert.Zero(t, consumed)
	assert.Equal(t, models.Next{Need: 3}, next, "a command in part costs no wait")
}

func TestSpinCostsMoreTheMoreItSpins(t *testing.T) {
	cost := func(iterations int) time.Duration {
		session := models.Spin{Service: models.Echo{}, Iterations: iterations}.Open()
		in, out := []byte("x"), make([]byte, 0, 1)
		best := time.Hour
		for range 20 {
			start := time.Now()
			for range 10 {
				session.Step(in, out)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	few, many := cost(10_000), cost(80_000)
	assert.Greater(t, many, 3*few, "8 times the rounds cost 3 times the time at least")
	_, isBlocker := models.Spin{Service: models.Echo{}}.Open().(models.Blocker)
	assert.False(t, isBlocker, "only a session that may block is a Blocker")
}
