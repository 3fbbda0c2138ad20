package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrorKind tells failures of requests and connections apart.
type ErrorKind uint8

const (
	// DialError: a connection could not be made.
	DialError ErrorKind = iota
	// TimeoutError: no connection within DialTimeout, or no whole reply within
	// RequestTimeout or before the run's end.
	TimeoutError
	// ResetError: the connection was reset, or writing to it failed.
	ResetError
	// ShortError: the stream ended in the middle of a reply, or before it.
	ShortError
	// MismatchError: a byte differs from what the protocol prescribes, or bytes
	// came that nothing had asked for.
	MismatchError
	// StatusError: a whole HTTP reply whose status is 400 or above.
	StatusError

	errorKinds = int(StatusError) + 1
)

var errorNames = [errorKinds]string{"dial", "timeout", "reset", "short", "mismatch", "status"}

func (k ErrorKind) String() string { return errorNames[k] }

// ErrorCounts counts failures by kind.
type ErrorCounts [errorKinds]int64

// Total is the sum over all kinds.
func (c ErrorCounts) Total() (n int64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Map returns the counts under their names, zeros too.
func (c ErrorCounts) Map() map[string]int64 {
	m := make(map[string]int64, errorKinds)
	for k, v := range c {
		m[errorNames[k]] = v
	}
	return m
}

// classify gives an error of the operating system its kind.
func classify(err error, otherwise ErrorKind) ErrorKind {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return TimeoutError
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ShortError
	case isReset(err):
		return ResetError
	}
	return otherwise
}

// ErrInput is wrapped by every error that tells of a bad plan.
var ErrInput = errors.New("bad input")

func badInput(format string, args ...any) error {
	return &inputError{msg: fmt.Sprintf(format, args...)}
}

type inputError struct{ msg string }

func (e *inputError) Error() string { return e.msg }
func (e *inputError) Unwrap() error { return ErrInput }
