//go:build !linux

package conditions

import (
	"context"
	"errors"
	"fmt"

	"netbench/testenv"
)

// Of fails on this platform.
func Of(context.Context, *testenv.Server) (Conditions, error) {
	return Conditions{}, fmt.Errorf("conditions of a server need Linux: %w", errors.ErrUnsupported)
}
