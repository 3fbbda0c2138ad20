package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// Environment of a child. Main removes both, so that a child's own children are
// not taken for the same role.
const (
	envRole  = "NETBENCH_CHILD_ROLE"
	envPipes = "NETBENCH_CHILD_PIPES" // the two descriptors or handles, "read,write"
)

// Role is something that a child process can be.
type Role struct {
	// Name identifies the role in [Options] and in errors.
	Name string

	// Run is called in the child. It registers its operations with ch.Handle,
	// announces itself with ch.Ready, and returns when ctx ends, which is when
	// the parent asks to stop. The child exits with status 0 if Run returns
	// nil, or ctx's error after it was asked to stop; else it writes the error
	// to standard error and exits with status 1. spec is [Options.Spec].
	Run func(ctx context.Context, ch *Channel, spec json.RawMessage) error

	// Carry, in place of Run, is for a carrier: see [Carrier]. It is called in the
	// child and returns when what it carries has ended and nothing of it is left;
	// the child exits as it does for Run. A SIGTERM asks it to end that at once.
	Carry func(Cargo) error
}

// roles holds what Main was given, nil before.
var roles atomic.Pointer[[]Role]

// Main has to be the first call in main or TestMain. In a child made by [Start]
// it runs the child's role and exits; it never returns there. Otherwise it notes
// that this program can be executed again with any of these roles, and returns.
// It panics if called twice, or with roles that have no or the same name: a child
// would never get to the second call.
func Main(known ...Role) {
	for i, r := range known {
		if r.Name == "" || (r.Run == nil) == (r.Carry == nil) {
			panic("proc.Main: a role needs a name and a Run or a Carry function")
		}
		if slices.ContainsFunc(known[:i], func(o Role) bool { return o.Name == r.Name }) {
			panic("proc.Main: two roles are called " + r.Name)
		}
	}
	known = slices.Clone(known)
	if !roles.CompareAndSwap(nil, &known) {
		panic("proc.Main: called twice; pass all roles to one call")
	}
	name, child := os.LookupEnv(envRole)
	if !child {
		return
	}
	os.Exit(runChild(name, known))
}

func runChild(name string, known []Role) int {
	fail := func(err error) int {
		fmt.Fprintf(os.Stderr, "role %q: %v\n", name, err)
		return 1
	}
	pipes, cargo := os.Getenv(envPipes), os.Getenv(envCargo)
	os.Unsetenv(envRole)
	os.Unsetenv(envPipes)
	os.Unsetenv(envCargo)
	in, out, err := inheritedPipes(pipes)
	if err != nil {
		return fail(fmt.Errorf("%w (%s is for child processes only: unset it)", err, envRole))
	}
	role, err := findRole(name, known)
	if err != nil {
		return fail(err)
	}
	nameProcess(name)
	if role.Carry != nil {
		if err := carry(role, cargo, in, out); err != nil {
			return fail(err)
		}
		return 0
	}
	ch := newChannel(name, in, out)
	spec, err := ch.greet()
	if err != nil {
		if isEOF(err) {
			err = errors.New("the parent went away before it said what to do")
		}
		return fail(err)
	}
	go ch.serve()
	err = role.Run(ch.ctx, ch, spec)
	if err != nil && !(ch.ctx.Err() != nil && errors.Is(err, context.Canceled)) {
		return fail(err)
	}
	return 0
}

func findRole(name string, known []Role) (Role, error) {
	var names []string
	for _, r := range known {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	list := "none is"
	if len(names) > 0 {
		list = "known: " + strings.Join(names, ", ")
	}
	return Role{}, fmt.Errorf("role %q was not given to proc.Main (%s)", name, list)
}
