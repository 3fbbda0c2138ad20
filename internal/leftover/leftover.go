// Package leftover lets the end of a program wait for what has to be removed
// before: worktrees, temporary directories. Whoever makes such a thing says so with
// [Owe]; who is about to end the program asks [Wait]. A program that is ended by a
// second signal while it still deals with the first would leave them behind.
package leftover

import (
	"sync"
	"time"
)

var (
	mu      sync.Mutex
	owed    int
	settled chan struct{} // closed when owed becomes 0 again
)

// Owe says that there is something to remove. Done is called when it is removed, or
// has turned out not to be removable; further calls of it do nothing.
func Owe() (done func()) {
	mu.Lock()
	defer mu.Unlock()
	if owed++; owed == 1 {
		settled = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		mu.Lock()
		defer mu.Unlock()
		if owed--; owed == 0 {
			close(settled)
		}
	})
}

// Wait returns when nothing is owed any more, or time is over, and tells which.
func Wait(atMost time.Duration) (nothing bool) {
	mu.Lock()
	free, wait := owed == 0, settled
	mu.Unlock()
	if free {
		return true
	}
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-wait:
		return true
	case <-late.C:
		return false
	}
}
