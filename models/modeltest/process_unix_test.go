//go:build unix

package modeltest

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExhaustDescriptorsMakesOpeningFailUntilRestored(t *testing.T) {
	process.Lock()
	defer process.Unlock()
	held, err := os.Open(os.DevNull) // what is open stays usable
	require.NoError(t, err)
	defer func() { assert.NoError(t, held.Close()) }()

	restore, err := exhaustDescriptors()
	require.NoError(t, err)
	_, openErr := os.Open(os.DevNull)
	_, readErr := held.Stat()
	require.NoError(t, restore())
	assert.ErrorIs(t, openErr, syscall.EMFILE)
	assert.NoError(t, readErr)

	again, err := os.Open(os.DevNull)
	require.NoError(t, err)
	assert.NoError(t, again.Close())
}

func TestDescriptorCountSeesEachDescriptor(t *testing.T) {
	if descriptorCount() < 0 {
		t.Skip("this system does not tell how many descriptors are open")
	}
	process.Lock()
	defer process.Unlock()
	before := takeInventory().descriptors
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	assert.Equal(t, before+1, descriptorCount())
	require.NoError(t, f.Close())
	assert.Equal(t, before, descriptorCount())
}
