//go:build !unix || aix || solaris || illumos

package peers

import (
	"os"

	"netbench/models"
)

// tryLock refuses: the peers are built and run on Unix systems.
func tryLock(*os.File) (bool, error) { return false, models.ErrUnsupported }
