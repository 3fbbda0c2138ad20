//go:build !race

package habits

const raceDetector = false
