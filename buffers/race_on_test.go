//go:build race

package buffers_test

// raceOn tells that the race detector is on, under which a sync.Pool drops a part of what
// is put back, at random.
const raceOn = true
