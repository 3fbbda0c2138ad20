//go:build unix && !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package results

func bsdHost() (kernel, cpu string) { return "", "" }
