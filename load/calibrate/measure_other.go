//go:build !linux

package calibrate

import (
	"context"
	"errors"
	"fmt"
)

func measure(context.Context, Options) (*Report, error) {
	return nil, fmt.Errorf("calibrate: the generator that is measured and the C client drive epoll, which needs Linux: %w", errors.ErrUnsupported)
}
