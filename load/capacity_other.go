//go:build !linux

package load

// descriptorRoom is a guess that each supported system grants by default.
func descriptorRoom() int { return 10_000 }

func manySources(Target) bool { return false }
