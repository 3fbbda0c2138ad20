//go:build !linux

package load

// descriptorRoom is a guess that each supported system grants by default.
func descriptorRoom() int { return 10_000 }

// descriptorLimit is the same guess for a process that has opened nothing yet.
func descriptorLimit() int { return 10_000 }

func manySources(Target) bool { return false }
