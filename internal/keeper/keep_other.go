//go:build !linux

package keeper

import (
	"context"
	"errors"
	"fmt"

	"netbench/internal/proc"
)

func supported() error {
	return fmt.Errorf("to keep a program with all its processes needs Linux: %w", errors.ErrUnsupported)
}

func keep(context.Context, *proc.Channel, Spec) error { return supported() }
