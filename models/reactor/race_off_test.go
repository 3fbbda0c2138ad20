//go:build !race

package reactor

const raceDetector = false
