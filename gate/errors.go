package gate

import (
	"errors"
	"fmt"
)

// ErrInput is wrapped by every error that tells of a gate that cannot be run as
// asked.
var ErrInput = errors.New("bad input")

// ErrGenerator is wrapped by errors of measuring memory that the server is not to
// blame for.
var ErrGenerator = errors.New("generator")

type gateError struct {
	text string
	kind error
}

func (e *gateError) Error() string { return e.text }
func (e *gateError) Unwrap() error { return e.kind }

func badInput(format string, args ...any) error {
	return &gateError{fmt.Sprintf(format, args...), ErrInput}
}
