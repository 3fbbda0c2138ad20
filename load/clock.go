package load

import "time"

var epoch = time.Now()

// nanos reads the monotonic clock, in nanoseconds since the process began. It
// costs one vDSO call; nothing is cached or ticked.
func nanos() int64 { return int64(time.Since(epoch)) }
