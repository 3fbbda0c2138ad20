//go:build race

package goroutine

// raceDetector tells that the race detector is on, which makes pools forget on
// purpose.
const raceDetector = true
