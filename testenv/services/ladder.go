package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Rung says how a service was come by.
type Rung string

// The rungs, in the order in which they are tried.
const (
	Given       Rung = "given address"
	LocalBinary Rung = "local binary"
	Container   Rung = "container"
	StandIn     Rung = "stand-in"
)

const (
	// DefaultStartTimeout bounds the start of a service on one rung. An idle
	// machine takes a second or two.
	DefaultStartTimeout = 15 * time.Second

	// answerTimeout bounds the wait for the answer of a given address.
	answerTimeout = 5 * time.Second

	// stopTimeout bounds ends that have no deadline of their own, and that of a
	// service that did not start.
	stopTimeout = 10 * time.Second
)

// Info is what is known of a service that runs. It belongs into every result that
// was taken with the service.
type Info struct {
	Service string `json:"service"` // "postgres" or "redis"
	Rung    Rung   `json:"rung"`
	Reason  string `json:"reason"` // what this rung found, and why none above it was taken
	Version string `json:"version"`
	Addr    string `json:"addr"` // host:port, or the path of a Unix socket

	// Settings are those that decide what figures mean, as the service itself
	// reports them, such as fsync or maxclients. One that refuses to tell has none.
	Settings map[string]string `json:"settings,omitempty"`
}

// Real tells whether this is the service itself and not a stand-in.
func (i Info) Real() bool { return i.Rung != StandIn }

// String is one line.
func (i Info) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s at %s by %s (%s)", i.Service, i.Version, i.Addr, i.Rung, i.Reason)
	for n, name := range slices.Sorted(maps.Keys(i.Settings)) {
		sep := ", "
		if n == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s=%s", sep, name, i.Settings[name])
	}
	return b.String()
}

// AbsentError says that a service is to be had on no rung.
type AbsentError struct {
	Service string
	Reasons []string // "rung: reason", one for each rung
}

// Error is one line with all reasons.
func (e *AbsentError) Error() string {
	return fmt.Sprintf("no %s: %s", e.Service, strings.Join(e.Reasons, "; "))
}

// absence is the error of a rung that is not there, in contrast to one that broke.
type absence string

func (a absence) Error() string { return string(a) }

// step is one rung and how to take it: found tells what was found there.
type step[T any] struct {
	rung Rung
	take func(context.Context) (service T, found string, err error)
}

// climb takes the first rung that holds. A given address that breaks ends the
// climb; any other rung that breaks is a reason to try the next.
func climb[T any](ctx context.Context, service string, steps []step[T]) (T, Rung, string, error) {
	var none T
	var reasons []string
	for _, s := range steps {
		taken, found, err := s.take(ctx)
		if err == nil {
			return taken, s.rung, strings.Join(append([]string{found}, reasons...), "; "), nil
		}
		err = oneLine(err)
		var missing absence
		if s.rung == Given && !errors.As(err, &missing) || ctx.Err() != nil {
			return none, s.rung, "", fmt.Errorf("%s by %s: %w", service, s.rung, err)
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", s.rung, err))
	}
	return none, "", "", &AbsentError{Service: service, Reasons: reasons}
}

// oneLine makes the text of an error one line.
func oneLine(err error) error {
	if !strings.ContainsAny(err.Error(), "\r\n") {
		return err
	}
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return &reworded{text: strings.Join(lines, "; "), of: err}
}

// body is what a service runs in: a process that is ours, a container, or nothing
// that we could touch.
type body interface {
	// Stop ends it and returns when nothing of it is left.
	Stop(ctx context.Context) error

	// Restart ends it in order and starts it on the same address and data.
	Restart(ctx context.Context) error

	// CPU is the time that its processes have used since it was first started.
	CPU() (time.Duration, error)
}

// elsewhere is the body of a service that somebody else runs.
type elsewhere struct{}

func (elsewhere) Stop(context.Context) error { return nil }

func (elsewhere) Restart(context.Context) error {
	return errors.New("restart: the service at the given address is not ours to restart (leave the variable unset to have one started)")
}

func (elsewhere) CPU() (time.Duration, error) {
	return 0, errors.New("CPU time: the processes of the service at the given address are not ours to observe (leave the variable unset to have one started)")
}
