//go:build !linux

package reuseport

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/models"
)

func TestWhatThePlatformLacksIsSaid(t *testing.T) {
	for over := range kinds {
		_, err := Prefork(PreforkOptions{Over: Over(over)})(models.Config{Service: models.Echo{}, Listeners: 2})
		require.ErrorIs(t, err, models.ErrUnsupported)
		require.ErrorContains(t, err, "needs Linux")
		_, err = Factory(Options{Over: Over(over), Steer: true})(models.Config{Service: models.Echo{}, Listeners: 2})
		require.ErrorIs(t, err, models.ErrUnsupported)
		if runtime.GOOS != "freebsd" {
			_, err = Factory(Options{Over: Over(over)})(models.Config{Service: models.Echo{}, Listeners: 2})
			require.ErrorIs(t, err, models.ErrUnsupported)
		}
	}
}
