//go:build !unix

package scenario

// descriptorLimit is without bound where the system has none.
func descriptorLimit() int { return 1 << 30 }
