package listen

import "time"

// Waits between accepts that fail for want of something.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// Backoff is the wait after an accept that failed for a cause that [Temporary] knows:
// 5 ms, then twice as long as the last wait, up to 1 s. Last is 0 after an accept that
// succeeded.
func Backoff(last time.Duration) time.Duration { return min(max(2*last, firstBackoff), lastBackoff) }
