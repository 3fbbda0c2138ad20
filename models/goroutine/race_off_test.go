//go:build !race

package goroutine

const raceDetector = false
