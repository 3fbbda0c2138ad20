package conditions_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models/conditions"
)

func TestCompareNamesEveryFieldThatDiffers(t *testing.T) {
	a := conditions.Conditions{Model: "a", NoDelay: true, Backlog: 4096, ReadSize: 4096, Loops: 1, Threads: 9, CPUs: "0"}
	assert.Empty(t, conditions.Compare(a, a))

	b := a
	b.Model, b.Threads = "b", 2 // for information
	assert.Empty(t, conditions.Compare(a, b))

	b.NoDelay, b.Backlog, b.ReadSize, b.CPUs = false, 128, 65536, "0-1"
	assert.Equal(t, []conditions.Difference{
		{Field: "NoDelay", A: true, B: false},
		{Field: "ReadSize", A: 4096, B: 65536},
		{Field: "Backlog", A: 4096, B: 128},
		{Field: "CPUs", A: "0", B: "0-1"},
	}, conditions.Compare(a, b))
	assert.Equal(t, "Backlog: 4096 against 128", conditions.Compare(a, b)[2].String())
}

func TestCompareDoesNotTakeUnknownForDifferent(t *testing.T) {
	a := conditions.Conditions{ReadSize: 4096, Loops: 2, GoMaxProcs: 1}
	b := conditions.Conditions{NoReadSize: "not permitted"}
	assert.Empty(t, conditions.Compare(a, b))
	b.Loops = 1
	require.Len(t, conditions.Compare(a, b), 1)
}

func TestJudgeDemandsAnExactDeclaration(t *testing.T) {
	found := []conditions.Difference{{Field: "Backlog", A: 4096, B: 128}, {Field: "NoDelay", A: true, B: false}}
	assert.NoError(t, conditions.Judge(nil, nil))
	assert.NoError(t, conditions.Judge(found, conditions.Declared{"Backlog": "fixed there", "NoDelay": "no such option"}))
	assert.EqualError(t, conditions.Judge(found, conditions.Declared{"Backlog": "fixed there"}),
		"conditions differ otherwise than declared: NoDelay: true against false is not declared")
	assert.EqualError(t, conditions.Judge(found[:1], conditions.Declared{"Backlog": "fixed there", "Loops": "one only", "CPUs": "all"}),
		"conditions differ otherwise than declared: CPUs is declared to differ (all) and does not; Loops is declared to differ (one only) and does not")
}
