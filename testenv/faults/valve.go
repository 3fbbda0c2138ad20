package faults

import (
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// valveType is the name under which the library knows our link of its chains.
const valveType = "netbench_valve"

var register = sync.OnceFunc(func() { toxics.Register(valveType, new(valve)) })

// valve is the one link in every chain of a direction. It stays there and changes
// what it does, as a chain that is changed while bytes are in it may lose them.
type valve struct {
	mu      sync.Mutex
	faults  settings
	changed chan struct{} // closed by the next change
}

// settings are the faults of a direction.
type settings struct {
	stalled bool
	delay   time.Duration // of the end of a stream
	limit   int64         // bytes after which a stream is cut; 0: none
	limited int           // how often a limit was set: each counts anew
}

// now are the faults, and a channel that is closed when they change.
func (v *valve) now() (settings, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.faults, v.changed
}

// set changes the faults.
func (v *valve) set(change func(*settings)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.faults)
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// open waits until nothing is stalled.
func (v *valve) open() settings {
	for {
		s, changed := v.now()
		if !s.stalled {
			return s
		}
		<-changed
	}
}

// Pipe passes one stream. Its chain is never changed, so it is never interrupted.
func (v *valve) Pipe(stub *toxics.ToxicStub) {
	var passed int64 // since the limit was set
	s, _ := v.now()
	limited := s.limited
	for {
		v.open() // takes nothing in a stall, so that the sender is held up, too
		c := <-stub.Input
		if c == nil {
			v.end()
			stub.Close()
			return
		}
		s := v.open() // it may have begun meanwhile
		if s.limited != limited {
			passed, limited = 0, s.limited
		}
		if s.limit > 0 && passed+int64(len(c.Data)) >= s.limit {
			stub.Output <- &stream.StreamChunk{Data: c.Data[:s.limit-passed], Timestamp: c.Timestamp}
			stub.Close()
			for range stub.Input {
				// Ends when both connections are closed, which this does.
			}
			return
		}
		stub.Output <- c
		passed += int64(len(c.Data))
	}
}

// end waits until the end of a stream may pass.
func (v *valve) end() {
	began := time.Now()
	for {
		s, changed := v.now()
		left := s.delay - time.Since(began)
		switch {
		case s.stalled:
			<-changed
		case left <= 0:
			return
		default:
			timer := time.NewTimer(left)
			select {
			case <-changed:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}
