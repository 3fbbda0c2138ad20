//go:build !linux

package memory

import (
	"errors"
	"fmt"
)

func supported() error {
	return fmt.Errorf("memory per connection needs Linux: %w", errors.ErrUnsupported)
}

// ReadTree fails on this platform.
func ReadTree(int) (Tree, error) { return Tree{}, supported() }

func (r *Result) warnOfHugePages() {}

func reset(string, string) error { return nil }
