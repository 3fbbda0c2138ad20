package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/models"
	"netbench/models/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time that every fixed clock of these tests shows.
var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return noon }

// talk feeds input to a new session whole, then by single bytes, and returns
// what both led to.
func talk(t *testing.T, s models.Service, input string) servicetest.Outcome {
	t.Helper()
	o, err := servicetest.Compare(s, []byte(input), []byte{1})
	require.NoError(t, err)
	return o
}
