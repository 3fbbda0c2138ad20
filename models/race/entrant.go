package race

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Kind says where a contender comes from.
type Kind string

const (
	Ours  Kind = "ours"
	Peer  Kind = "peer"  // somebody else's engine
	Floor Kind = "floor" // the same service without a Go runtime; a line to measure against
)

// Entrant is a server that can take part.
type Entrant struct {
	Name string
	Kind Kind

	// Informs marks a contender that is measured and takes no part in the
	// decision, for instance one with other settings than the rest.
	Informs bool

	// Services are those that it can run; nil means all. "echo" is echo without
	// a suffix, "echo+" is echo with any.
	Services []string

	// Prepare returns the executable of an entrant that is a program of its
	// own, which it may have to build; nil for a factory of this program.
	Prepare func(ctx context.Context) (program string, err error)

	// Missing says why this host lacks it; "" if it does not.
	Missing string

	// Declared are the conditions that it cannot be given, printed beside its
	// result.
	Declared []string

	// Differs are the conditions, by field of package conditions, in which it is
	// known not to be as the others are, with the reason. A test of all entrants
	// makes sure that they are exactly those.
	Differs map[string]string

	// Version of somebody else's engine, "" for none.
	Version string
}

// Serves tells whether the entrant can run a service, which may have suffixes.
func (e Entrant) Serves(service string) bool {
	base, _, _ := strings.Cut(service, "+")
	return e.Services == nil || slices.Contains(e.Services, service) || slices.Contains(e.Services, base+"+")
}

// cannotRun is why an entrant that does not serve a service is absent.
func cannotRun(service string) string { return "it cannot run service " + service }

// declared is all that is printed beside its result.
func (e Entrant) declared() []string {
	all := slices.Clone(e.Declared)
	for _, field := range slices.Sorted(maps.Keys(e.Differs)) {
		all = append(all, field+" differs: "+e.Differs[field])
	}
	return all
}

// Absence is an entrant that does not take part, and why.
type Absence struct {
	Model  string `json:"model"`
	Reason string `json:"reason"`
}
