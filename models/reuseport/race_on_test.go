//go:build race

package reuseport

// raceDetector tells that the race detector is on, which makes pools forget on
// purpose.
const raceDetector = true
