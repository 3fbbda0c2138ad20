package goroutine

import (
	"errors"
	"fmt"
	"runtime"

	"netbench/internal/listen"
	"netbench/models"
)

// open opens the listeners that cfg asks for, which Validate has filled in; asked
// is what Listeners was before.
func open(cfg models.Config, asked int, o Options) ([]listen.Listener, error) {
	if o.Share {
		if asked == 0 {
			asked = runtime.GOMAXPROCS(0)
		}
		return listen.Shared(cfg, listen.Options{Model: Name, Steer: o.Steer}, asked)
	}
	if o.Steer {
		return nil, errSteerAlone
	}
	if cfg.Listeners > 1 {
		return nil, listen.Unsupported(&models.ConfigError{
			Field: "Listeners", Value: cfg.Listeners,
			Want: "1: this model listens once, the reuseport model shares an address",
		})
	}
	l, err := listen.Open(cfg, listen.Options{Model: Name})
	if err != nil {
		return nil, err
	}
	return []listen.Listener{l}, nil
}

// errSteerAlone is about Options, which no configuration can put right.
var errSteerAlone = errors.New("goroutine: Options.Steer without Share (a single listener gets all connections anyway)")

// listener is one socket that is listened on. Its counter belongs to the
// server's lock.
type listener struct {
	listen.Listener
	backlog  *listen.Waiter // nil where the accept loop may hold a slot while it waits
	accepted uint64         // connections given to a session
}

// watchBacklogs prepares several listeners to share the slots of MaxConns. A
// single accept loop takes a slot before it accepts. Of several, one without
// anything to accept would so keep the last slot from another that has; they wait
// for a connection first, which costs a descriptor for each listener and a system
// call for each connection.
func (s *server) watchBacklogs() error {
	if len(s.listeners) == 1 || s.slots == nil || s.cfg.OnLimit == models.Reject {
		return nil
	}
	for _, l := range s.listeners {
		var err error
		if l.backlog, err = listen.NewWaiter(l.Listener); err != nil {
			return fmt.Errorf("goroutine: watch the backlog of %v: %w", l.Addr(), err)
		}
	}
	return nil
}

// wake ends what the accept loop waits for.
func (l *listener) wake() {
	_ = l.SetDeadline(past)
	if l.backlog != nil {
		l.backlog.Wake()
	}
}

// close may be called repeatedly.
func (l *listener) close() {
	_ = l.Close()
	if l.backlog != nil {
		_ = l.backlog.Close()
	}
}
