//go:build !unix

package modeltest

import (
	"errors"
	"time"
)

var errNoLimits = errors.New("this platform has no limit of descriptors that a process can set for itself")

func processCPU() (time.Duration, error) { return 0, errNoLimits }

func descriptorCount() int { return -1 }

func lacksDescriptorLimit() string { return errNoLimits.Error() }

func exhaustDescriptors() (func() error, error) { return nil, errNoLimits }
