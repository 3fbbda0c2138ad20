//go:build !race

package gcprofile_test

const raceDetector = false
