package load

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	errUnasked  = errors.New("bytes came that no request had asked for")
	errMismatch = errors.New("the reply differs from what the protocol prescribes")
	errStatus   = errors.New("an HTTP reply had a status of 400 or above")
	errShort    = errors.New("the server ended the stream before the reply was whole")
	errBacklog  = errors.New("the server's backlog is full")
	errNoReply  = errors.New("no whole reply came in time")
)

// hostError is the error of a dial that this host is to blame for, and no server.
type hostError struct{ error }

func (e hostError) Unwrap() error { return e.error }

// dialError explains why no connection could be made.
func dialError(t Target, err error) error {
	hint, host := "is a server listening there?", false
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint, host = "no local port is free; use more targets, or fewer connections", true
	case errors.Is(err, syscall.EMFILE):
		hint, host = "no descriptor is free; raise ulimit -n, or use fewer connections", true
	case errors.Is(err, syscall.ETIMEDOUT):
		hint = "it does not answer; is the address right?"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // what surrounds it repeats the target
	}
	err = badInput("connect to %s: %v (%s)", fmt.Sprint(t), err, hint)
	if host {
		return hostError{err}
	}
	return err
}
