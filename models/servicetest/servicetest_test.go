package servicetest_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/models"
	"netbench/models/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stepper is a service whose sessions do what a function says.
type stepper struct {
	limits models.Limits
	step   func(in, out []byte) (int, []byte, models.Next)
}

func (s stepper) Name() string          { return "broken" }
func (s stepper) Limits() models.Limits { return s.limits }
func (s stepper) Open() models.Session  { return s }

func (s stepper) Step(in, out []byte) (int, []byte, models.Next) { return s.step(in, out) }

// worker is a stepper that blocks, and does it all in Work.
type worker struct{ stepper }

func (w worker) Open() models.Session { return w }

func (w worker) Step(_, out []byte) (int, []byte, models.Next) {
	return 0, out, models.Next{Op: models.Block}
}

func (w worker) Work(in, out []byte) (int, []byte, models.Next) { return w.step(in, out) }

func TestRunCatchesEachBrokenRule(t *testing.T) {
	limits := models.Limits{Request: 8, Reply: 8}
	for says, step := range map[string]func(in, out []byte) (int, []byte, models.Next){
		"consumed 5 bytes":  func(in, out []byte) (int, []byte, models.Next) { return len(in) + 1, out, models.Next{} },
		"consumed -1 bytes": func(in, out []byte) (int, []byte, models.Next) { return -1, out, models.Next{} },
		"unknown op":        func(in, out []byte) (int, []byte, models.Next) { return 1, out, models.Next{Op: 9} },
		"needs 9 bytes":     func(in, out []byte) (int, []byte, models.Next) { return 0, out, models.Next{Need: 9} },
		"changed output": func(in, out []byte) (int, []byte, models.Next) {
			return 1, append(out[:0], "new"[len(out)%2:]...), models.Next{}
		},
		"appended 13 bytes": func(in, out []byte) (int, []byte, models.Next) {
			return 4, append(out, "0123456789abc"...), models.Next{}
		},
		"wrote to its input":      func(in, out []byte) (int, []byte, models.Next) { in[0]++; return 4, out, models.Next{} },
		"aliases the input":       func(in, out []byte) (int, []byte, models.Next) { return 4, in, models.Next{} },
		"is no Blocker":           func(in, out []byte) (int, []byte, models.Next) { return 0, out, models.Next{Op: models.Block} },
		"blocks consumed 1 bytes": func(in, out []byte) (int, []byte, models.Next) { return 1, out, models.Next{Op: models.Block} },
	} {
		t.Run(says, func(t *testing.T) {
			_, err := servicetest.Run(stepper{limits, step}, []byte("ping"), nil)
			require.Error(t, err)
			assert.Contains(t, err.Error(), says)
		})
	}

	never := func(in, out []byte) (int, []byte, models.Next) { return 0, out, models.Next{} }
	_, err := servicetest.Run(stepper{limits, never}, []byte("12345678"), []byte{1})
	require.ErrorContains(t, err, "made no progress")

	again := func(in, out []byte) (int, []byte, models.Next) { return 0, out, models.Next{Op: models.Block} }
	_, err = servicetest.Run(worker{stepper{limits, again}}, []byte("ping"), nil)
	require.ErrorContains(t, err, "work blocks")
}

func TestRunObeysNeed(t *testing.T) {
	var seen []int
	pairs := func(in, out []byte) (int, []byte, models.Next) {
		seen = append(seen, len(in))
		if len(in) < 4 {
			return 0, out, models.Next{Need: 4}
		}
		return 4, append(out, in[:4]...), models.Next{Need: 2}
	}
	o, err := servicetest.Run(stepper{models.Limits{Request: 4}, pairs}, []byte("abcdefghi"), []byte{1})
	require.NoError(t, err)
	assert.Equal(t, servicetest.Outcome{Output: []byte("abcdefgh"), Consumed: 8, Steps: 2}, o)
	assert.Equal(t, []int{1, 4, 2, 4}, seen)
}

func TestCompareCatchesWhatDependsOnSplits(t *testing.T) {
	limits := models.Limits{Request: 8, Reply: 8}
	for says, step := range map[string]func(in, out []byte) (int, []byte, models.Next){
		"answers": func(in, out []byte) (int, []byte, models.Next) {
			return len(in), append(out, byte('0'+len(in))), models.Next{}
		},
		"closes": func(in, out []byte) (int, []byte, models.Next) {
			if len(in) > 1 {
				return len(in), out, models.Next{Op: models.Close}
			}
			return len(in), out, models.Next{}
		},
		"consumes": func(in, out []byte) (int, []byte, models.Next) {
			if i := bytes.IndexByte(in, 'n'); i > 0 {
				return i, out, models.Next{Op: models.Close}
			} else if i == 0 {
				return 1, out, models.Next{Op: models.Close}
			}
			return len(in), out, models.Next{}
		},
	} {
		t.Run(says, func(t *testing.T) {
			_, err := servicetest.Compare(stepper{limits, step}, []byte("ping"), []byte{1})
			require.Error(t, err)
			assert.Contains(t, err.Error(), says)
		})
	}
}
