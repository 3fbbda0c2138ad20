package gate

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestWaiversAreReadByLine(t *testing.T) {
	all, err := ReadWaivers(strings.NewReader("# why\n\n 2026-11-21 Echo/conns=1 req/s  it is   worth it\n2027-01-01 Echo/conns=1 p99-ns x\n"), "w", day)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, Waiver{time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), "Echo/conns=1", "req/s", "it is worth it", "w:3"}, all[0])
}

func TestWaiversThatHideOrMeanNothingAreErrors(t *testing.T) {
	for line, want := range map[string]string{
		"2026-11-20 Echo req/s because":                         "w:1: the waiver of Echo req/s ended on 2026-11-20",
		"2026-11-31 Echo req/s because":                         `w:1: "2026-11-31" is no date`,
		"2027-01-01 Echo req/s":                                 "is no waiver",
		"soon Echo req/s because":                               `"soon" is no date`,
		"2027-01-01 Echo req/s a\n2027-01-02 Echo req/s b":      "w:2: Echo req/s is waived twice",
		"2027-01-01 Echo req/s " + strings.Repeat("x", 128<<10): "token too long",
	} {
		_, err := ReadWaivers(strings.NewReader(line), "w", day)
		require.ErrorIs(t, err, ErrInput)
		assert.ErrorContains(t, err, want)
	}
}

func TestAWaiverOfNoRowIsAnError(t *testing.T) {
	cells := []Cell{{Metrics: []Metric{gating(serverCPU), rate}}}
	cells[0].Name = "Echo"
	require.NoError(t, CheckWaivers([]Waiver{{Name: "Echo", Unit: "server-cpu-ns/op"}}, cells))
	require.ErrorIs(t, CheckWaivers([]Waiver{{Name: "Echo", Unit: "req/s"}}, cells), ErrInput, "it does not gate")
	err := CheckWaivers([]Waiver{{Name: "Ech", Unit: "server-cpu-ns/op", Place: "w:7"}}, cells)
	require.ErrorIs(t, err, ErrInput)
	assert.ErrorContains(t, err, "w:7: Ech server-cpu-ns/op is not a row that gates")
}
