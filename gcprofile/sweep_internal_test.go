package gcprofile

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAServerThatWasKilledIsToldOfOnce(t *testing.T) {
	s, err := Start(t.Context(), Spec{})
	require.NoError(t, err)
	require.NoError(t, s.Kill())
	_, err = Measure(t.Context(), s, Drive{Rate: 100})
	require.Error(t, err)
	told := end(t.Context(), s, err)
	assert.Equal(t, err, told)
	assert.NotContains(t, told.Error(), "\n")
	failed := errors.New("failed")
	assert.ErrorIs(t, end(t.Context(), s, failed), failed)
}
