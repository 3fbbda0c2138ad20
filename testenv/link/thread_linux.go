package link

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnThread runs f in a goroutine that has a thread to itself, which is never
// the process' first. F returns whether the thread is as it was; if not, the
// thread ends with the goroutine.
//
// The first thread will not do: the runtime parks it for ever instead of ending
// it, so a namespace that it is in would stay; and /proc/self/ns speaks of it.
func onOwnThread(f func() (asItWas bool)) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			if f() {
				runtime.UnlockOSThread()
			}
			return
		}
		// While this goroutine holds the first thread the next one gets another.
		begun := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(begun)
			if f() {
				runtime.UnlockOSThread()
			}
		}()
		<-begun
		runtime.UnlockOSThread()
	}()
}
