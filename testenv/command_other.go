//go:build !linux

package testenv

import (
	"context"
	"errors"
	"fmt"

	"netbench/internal/proc"
)

func keepCommand(context.Context, *proc.Channel, commandInfo) error {
	return fmt.Errorf("a command's processes cannot be kept together here: %w", errors.ErrUnsupported)
}

func freeAddr() (string, error) {
	return "", fmt.Errorf("a server of another make needs Linux: %w", errors.ErrUnsupported)
}
