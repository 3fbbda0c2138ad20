//go:build race

package habits

// raceDetector tells that sync.Pool forgets a part of what it is given, at random, to
// show mistakes in its use.
const raceDetector = true
