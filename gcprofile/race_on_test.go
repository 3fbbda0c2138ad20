//go:build race

package gcprofile_test

// raceDetector tells that sync.Pool drops a quarter of what it is given, as it does under
// the race detector: models then allocate buffers anew.
const raceDetector = true
