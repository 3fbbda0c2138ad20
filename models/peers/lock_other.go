//go:build !linux

package peers

import (
	"context"
	"fmt"

	"netbench/models"
)

// lock is never reached, as Build refuses before.
func lock(context.Context, string) (func(), error) {
	return nil, fmt.Errorf("%w: locking", models.ErrUnsupported)
}
