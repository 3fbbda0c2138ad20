//go:build !race

package reuseport

const raceDetector = false
