package models

import (
	"context"
	"errors"
	"net"
)

// ErrServerClosed is what [Server.Serve] returns after Shutdown or Close, wrapped
// or not; test for it with [errors.Is].
var ErrServerClosed = errors.New("models: server closed")

// ErrUnsupported is wrapped by the error of a model, or of one of its options,
// that the platform lacks. A model never falls back silently.
var ErrUnsupported = errors.New("not supported on this platform")

// Factory makes a server of one model. It validates the configuration, and it
// listens: when it returns without an error, [Server.Addr] is final and the
// kernel accepts connections into the backlog, though nobody serves them until
// Serve is called.
type Factory func(Config) (Server, error)

// Server is a running instance of a model.
type Server interface {
	// Addr is the address listened on, with the port that the kernel chose.
	Addr() net.Addr

	// Serve accepts and serves connections until Shutdown or Close, then
	// returns [ErrServerClosed]; it returns another error only if the listener
	// is beyond use. It is called once. After Shutdown it returns as soon as no
	// connection is accepted any more, which may be before Shutdown does.
	Serve() error

	// Shutdown refuses new connections and drains: every whole request whose
	// bytes had reached the host before the call is answered, a request that
	// had arrived in part is given the time to complete, idle connections are
	// closed at once, and each connection is closed in such a way that its peer
	// reads all replies before the end of the stream. It returns nil when no
	// connection is left; when ctx ends first, it closes the rest as Close
	// does and returns ctx's error. Repeated and concurrent calls are allowed,
	// as is Close meanwhile.
	Shutdown(ctx context.Context) error

	// Close refuses new connections and closes all others without waiting for
	// what is in flight. It returns when the server holds no descriptor and
	// runs no goroutine any more. It may be called several times, and also
	// without Serve.
	Close() error

	// Stats may be called at any time, also after Close.
	Stats() Stats
}

// Spread is implemented by servers that listen with several sockets on one
// address.
type Spread interface {
	// PerListener tells how many connections of each socket were given to a
	// session, in the order in which the sockets were opened. Their sum is
	// Stats.Accepted, if nothing is accepted meanwhile.
	PerListener() []uint64
}

// Stats counts what a server has done since it was made. All counters only
// grow, but for Active.
type Stats struct {
	Model   string `json:"model"`   // name of the model, for instance "goroutine"
	Variant string `json:"variant"` // options that change what is measured, "" if default

	// Fallback says what the model could not do on this host and does instead,
	// "" if it runs as asked. It is carried into every result.
	Fallback string `json:"fallback,omitempty"`

	Accepted     uint64 `json:"accepted"`      // connections that were given to a session
	Active       int64  `json:"active"`        // of these, those open now
	Rejected     uint64 `json:"rejected"`      // connections closed at once because of MaxConns
	AcceptErrors uint64 `json:"accept_errors"` // failed accepts that were retried
	IdleClosed   uint64 `json:"idle_closed"`   // connections closed because of IdleTimeout
	ConnErrors   uint64 `json:"conn_errors"`   // connections that ended by an error other than end of stream
	Paused       uint64 `json:"paused"`        // times that reads were paused because of MaxPending
	BytesIn      uint64 `json:"bytes_in"`      // application bytes read
	BytesOut     uint64 `json:"bytes_out"`     // application bytes written

	// Restarts is how many worker processes were started in place of ones that
	// had died, in models that have workers. What those had counted since Stats
	// was last asked for is lost.
	Restarts uint64 `json:"restarts,omitempty"`
}
