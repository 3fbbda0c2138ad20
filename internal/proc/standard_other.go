//go:build unix && !linux

package proc

import (
	"errors"
	"fmt"
)

func takeStandard() (in, out int, err error) {
	return 0, 0, fmt.Errorf("a control channel at standard input and output needs Linux: %w", errors.ErrUnsupported)
}
