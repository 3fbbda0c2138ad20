//go:build !linux

package results

func readSteal() (steal, total float64, ok bool) { return 0, 0, false }
