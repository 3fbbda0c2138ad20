// Package models holds the contract that every concurrency model of netbench
// implements, and the services that every model can run.
//
// A model is a way to move bytes between sockets and application code: a
// goroutine per connection, an event loop, an io_uring ring. A service is the
// application code: echo, a line protocol, HTTP/1.1. Keeping the two apart is
// what makes models comparable: each model runs the very same services, so a
// difference between two results is a difference between two models.
//
// The seam between them is [Session.Step], a function from bytes to bytes.
// The model reads, buffers, writes, waits and closes; the session parses and
// answers, and never sees a socket, a goroutine or a clock of its own.
//
// The conformance suite in models/modeltest states what a [Server] has to do
// with a service, and fails one that does not.
package models

import "time"

// Clock tells the time. Services take it from outside, so that a test can
// inject a fixed one; nil means [time.Now].
type Clock func() time.Time

// Service is a protocol, independent of how its bytes are moved. A Service is
// safe for concurrent use: many connections open sessions of it at once.
type Service interface {
	// Name is the service's name as users type it, for instance "echo".
	Name() string

	// Limits tells a model how large its buffers may have to be.
	Limits() Limits

	// Open returns the state of one new connection. It must be small, because
	// an idle connection keeps it.
	Open() Session
}

// Limits bounds what one step may need and make, in bytes.
type Limits struct {
	// Request is the most unconsumed input that a session ever needs to see at
	// once: [Next.Need] never exceeds it. At least 1.
	Request int

	// Reply is the most that one step appends to its reply, not counting
	// input that it merely copies.
	Reply int
}

// Session is the state of one connection.
//
// A session is used by one goroutine at a time, but not always the same one;
// the model provides the happens-before edge when it moves a session.
type Session interface {
	// Step looks at in, the bytes received and not yet consumed, in order and
	// without a gap. It appends its answer to out and returns how many bytes of
	// in it consumed, the extended out, and what has to happen next.
	//
	// Ownership: in and out belong to the model. The session may read in only
	// until Step returns, must not write to it and must not keep a reference to
	// either slice. Out may be reallocated by appending, as with [append]; the
	// reply never aliases in.
	//
	// Step consumes as much as forms whole requests, at most one request a
	// call where requests have boundaries, and it never blocks, sleeps or does
	// I/O. Its output must depend only on the bytes seen so far (and the
	// clock), never on how they were split into calls.
	//
	// The model calls Step whenever there are at least Need bytes buffered
	// (Need of the previous Next, at least 1), and again, without reading in
	// between, while Step consumed something and input remains. It never calls
	// Step with an empty in.
	//
	// At the end of the input the model stops calling Step. An incomplete
	// request is not answered.
	Step(in, out []byte) (consumed int, reply []byte, next Next)
}

// Op says what a model has to do after a step.
type Op uint8

const (
	// Continue asks for more input: at least Next.Need bytes in all.
	Continue Op = iota

	// Close asks the model to write what is owed, then to close the connection
	// in such a way that the peer can still read the reply. Nothing after it
	// is answered.
	Close

	// Block asks the model to call [Blocker.Work] with the same input, at a
	// place where blocking does no harm to other connections. The step
	// consumed nothing and appended nothing.
	Block
)

// Next is the outcome of a step.
type Next struct {
	Op Op

	// Need is the number of buffered bytes from which on the next step can make
	// progress; 0 is the same as 1. A session that waits for a message whose
	// length it knows asks for all of it, so that the model can read it in one
	// go. It is a hint to the reader and a lower bound for the caller: with
	// fewer bytes the session would consume nothing.
	Need int
}

// Blocker is implemented by sessions whose Step may return [Block].
//
// Work is Step for one request that may wait: it has the same arguments,
// results and ownership rules, but it may block, and it never returns Block.
// Work and Step of one session never run at the same time, and replies keep
// the order of the requests.
type Blocker interface {
	Session
	Work(in, out []byte) (consumed int, reply []byte, next Next)
}

// Preparer is implemented by services that need time or memory before their first
// connection, which a process that only looks at a service's name must not spend.
type Preparer interface {
	Service

	// Prepare makes the service ready. It is called once, in the process that
	// serves, before Serve; sessions of a service that was not prepared work, but
	// lack what it would have made. The error says what the host lacks.
	Prepare() error
}

// Prepare prepares a service and what it wraps, if they ask for it.
func Prepare(s Service) error {
	switch s := s.(type) {
	case Spin:
		return Prepare(s.Service)
	case Waiting:
		return Prepare(s.Service)
	case Preparer:
		return s.Prepare()
	}
	return nil
}
