package load

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// collector switches garbage collection off while anything measures, so that no
// collection falls into a slice. Uses may nest.
var collector struct {
	sync.Mutex
	holders int
	percent int
}

// holdGC collects once, then lets no collection start until release is called.
func holdGC() (release func()) {
	collector.Lock()
	defer collector.Unlock()
	if collector.holders == 0 {
		runtime.GC()
		collector.percent = debug.SetGCPercent(-1)
	}
	collector.holders++
	return sync.OnceFunc(func() {
		collector.Lock()
		defer collector.Unlock()
		if collector.holders--; collector.holders == 0 {
			debug.SetGCPercent(collector.percent)
		}
	})
}
