//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package reactor

import (
	"fmt"
	"runtime"

	"netbench/models"
)

// New makes a reactor, where the platform has epoll or kqueue.
func New(cfg models.Config) (models.Server, error) { return Factory(Options{})(cfg) }

// Factory makes reactors with options, where the platform has epoll or kqueue.
func Factory(o Options) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		if _, err := cfg.Validate(); err != nil {
			return nil, err
		}
		if _, err := o.check(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("reactor: %s has neither epoll nor kqueue (use the goroutine model): %w", runtime.GOOS, models.ErrUnsupported)
	}
}
