package calibrate

import "time"

// Who drives a slice.
const (
	ours   = 0
	theirs = 1
)

// schedule is the order of slices in a round: ABBA BAAB and so on, at least as
// long as asked for and a multiple of four, so that both clients follow each
// other and themselves equally often. A is the generator in even rounds and the
// other client in odd ones.
func schedule(round int, length, slice time.Duration) []int {
	n := int((length + slice - 1) / slice)
	n = max(4, (n+3)/4*4)
	order := make([]int, n)
	for i := range order {
		// 0 1 1 0, and the next four the other way round.
		order[i] = (round + i/4 + (i%4+1)/2) % 2
	}
	return order
}
