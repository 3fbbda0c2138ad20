package race

import "time"

// SliceOf is the length of a slice that a race would have.
func SliceOf(o Options) time.Duration { o, _ = o.normalize(); return o.Slice }
