//go:build !linux

package containers

import (
	"context"
	"errors"
	"fmt"

	"netbench/internal/proc"
	"netbench/testenv"
)

func unsupported() error {
	return fmt.Errorf("%w: containers on the host's network need Linux: %w", ErrNoEngine, errors.ErrUnsupported)
}

// Use returns no roles on this platform, where the rung of containers is not there.
func Use() []proc.Role { return nil }

// Engine fails on this platform.
func Engine(context.Context) (EngineInfo, error) { return EngineInfo{}, unsupported() }

// Carrier fails on this platform.
func Carrier(context.Context, string, Limits) (*proc.Carrier, error) { return nil, unsupported() }

// StartServer fails on this platform.
func StartServer(context.Context, testenv.ServerSpec, Limits) (*testenv.Server, error) {
	return nil, unsupported()
}
