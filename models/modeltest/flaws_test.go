package modeltest

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"netbench/models"
)

// flaw is one way in which a reference server is wrong.
type flaw int

const (
	flawless flaw = iota

	// Bytes.
	flawDropsParts     // takes one read for a whole message
	flawTruncates      // loses what is pending beyond MaxPending
	flawStepsOnce      // calls Step once for each read
	flawOvertakes      // lets what does not block overtake what does
	flawCrossTalk      // shares one read buffer between connections
	flawOneByOne       // serves a connection when the one before has ended
	flawStepsEmpty     // calls Step without input
	flawStepsAtEOF     // calls Step again at the end of the stream
	flawStepsTwice     // calls Step again with what was consumed
	flawIgnoresNeed    // calls Step with fewer bytes than it asked for
	flawRoundsNeed     // waits for more than Step asked for
	flawCapsNeed       // closes where Step asks for more than ReadBuffer
	flawReadsAhead     // reads between two steps
	flawKeepsOwnOutput // does not take the slice that Step returned
	flawWorkSeesOther  // gives Work another input than Step
	flawWorkBlocksAll  // does Work where others wait

	// Pending output.
	flawUnbounded      // queues output without a bound
	flawHeadOfLine     // has others wait for a peer that does not read
	flawGrows          // collects memory while a peer does not read
	flawFlushesPerRead // looks at MaxPending once for each read

	// Endings.
	flawKeepsHalfClosed   // never closes what the peer has half closed
	flawHalfCloseResets   // resets what the peer has half closed
	flawDiesOfReset       // closes the server at the first broken connection
	flawActiveStuck       // goes on counting broken connections as active
	flawClosesAbruptly    // closes with unread input
	flawAnswersAfterClose // goes on after Close
	flawLingersForever    // waits without a limit for the peer to close

	// Idleness.
	flawNeverIdle        // has no deadlines
	flawIdleIsError      // counts idle connections as broken
	flawDeadlineOnce     // sets the deadline once for the life
	flawRenewsPerRequest // does not renew it within a request
	flawWaitsForWriter   // has no deadline for writes
	flawDeadlinePerWrite // takes slow progress for none

	// Limits.
	flawNoLimit          // ignores MaxConns
	flawLateSemaphore    // takes the slot on the connection's goroutine
	flawSlotLost         // does not give back the slot of a broken connection
	flawRejectsUncounted // does not count what it rejects
	flawHoldsRejected    // does not close what it rejects
	flawSpins            // retries a failing accept at once
	flawDies             // ends at a failing accept

	// Shutdown.
	flawShutdownCloses // drains nothing
	flawDropsBacklog   // closes the listener first
	flawCutsPartial    // takes a connection within a request for idle
	flawCutsWork       // takes a connection in Work for idle
	flawKeepsIdle      // waits for idle connections to leave
	flawKeepsListening // accepts until it has drained
	flawIgnoresContext // waits however long
	flawHidesContext   // returns nil although the context ended first
	flawShutsDownOnce  // refuses a second Shutdown

	// Close.
	flawCloseDrains     // waits for peers
	flawCloseHurries    // does not wait for goroutines
	flawClosesOnce      // refuses a second Close
	flawNeedsServe      // keeps the listener when Serve was not called
	flawServeNil        // returns nil from Serve
	flawServeRaw        // returns the listener's error from Serve
	flawLeaksGoroutine  // leaves a goroutine for each connection
	flawLeaksDescriptor // leaves a descriptor for each connection

	// Setup and stats.
	flawUnchecked    // replaces a bad configuration by a good one
	flawVagueErrors  // does not name the field
	flawFallsBack    // listens elsewhere if the address is taken
	flawListensLate  // listens in Serve
	flawCountsTwice  // counts bytes twice
	flawForgetsStats // forgets the counters in Close

	flawCount
)

// breakage is a flaw, with what servers that have it leave behind.
type breakage struct {
	flaw    flaw
	release chan struct{} // ends leaked goroutines

	mu   sync.Mutex
	kept []io.Closer
}

func newBreakage(f flaw) *breakage {
	return &breakage{flaw: f, release: make(chan struct{})}
}

func (b *breakage) keep(c io.Closer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, c)
}

// tidy takes back what was leaked.
func (b *breakage) tidy() {
	close(b.release)
	for _, c := range b.kept {
		_ = c.Close()
	}
}

func (b *breakage) validate(c models.Config) (models.Config, error) {
	valid, err := c.Validate()
	switch {
	case err == nil:
		return valid, nil
	case b.flaw == flawUnchecked:
		return models.Config{Service: echo{}}.Validate()
	case b.flaw == flawVagueErrors:
		return c, errors.New("bad configuration")
	}
	return c, err
}

// crossTalk passes bytes through a buffer that all connections use. The lock
// is there only so that it is wrong without being a data race.
func (c *connection) crossTalk(b []byte) {
	c.r.mu.Lock()
	copy(c.r.shared, b)
	c.r.mu.Unlock()
	runtime.Gosched()
	time.Sleep(50 * time.Microsecond)
	c.r.mu.Lock()
	copy(b, c.r.shared)
	c.r.mu.Unlock()
}

// grow collects memory until it is told to stop.
func (c *connection) grow() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var hoard [][]byte
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for len(hoard) < 4000 {
			select {
			case <-tick.C:
				hoard = append(hoard, make([]byte, 16<<10))
			case <-done:
				runtime.KeepAlive(hoard)
				return
			}
		}
		<-done
	}()
	return func() { close(done); <-ended }
}

// unboundedQueue is the mistake of flawUnbounded: a writer of its own whose
// queue has no bound.
type unboundedQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	queue   []byte
	ended   bool
	done    chan struct{}
}

func newUnboundedQueue(c *connection) *unboundedQueue {
	q := &unboundedQueue{done: make(chan struct{})}
	q.changed = sync.NewCond(&q.mu)
	go func() {
		defer close(q.done)
		for {
			q.mu.Lock()
			for len(q.queue) == 0 && !q.ended {
				q.changed.Wait()
			}
			next := q.queue
			q.queue = nil
			q.mu.Unlock()
			if len(next) == 0 {
				return
			}
			n, err := c.Write(next)
			c.r.stats.bytesOut.Add(uint64(n))
			if err != nil {
				return
			}
		}
	}()
	return q
}

func (q *unboundedQueue) put(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, b...)
	q.changed.Signal()
}

func (q *unboundedQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.changed.Signal()
	q.mu.Unlock()
	<-q.done
}
