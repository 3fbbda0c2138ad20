//go:build !race

package buffers_test

const raceOn = false
