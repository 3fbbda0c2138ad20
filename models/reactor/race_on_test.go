//go:build race

package reactor

// raceDetector tells that the race detector is on.
const raceDetector = true
