//go:build race

package memory

// raceDetector tells that the race detector is on, which has memory of its own
// for everything that a program touches.
const raceDetector = true
