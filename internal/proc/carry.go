package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// envCargo tells a carrier what to carry, as JSON.
const envCargo = "NETBENCH_CHILD_CARGO"

// carrierGrace is how long a carrier may take to end what it carries when it is to
// be killed, before it is killed itself. A container that is being made at that moment
// is made whole and removed then: killed in between, its carrier would leave it.
const carrierGrace = 25 * time.Second

// Carrier says that a role is to run elsewhere than in a child process, for instance
// in a container. The child is then a carrier: this program again in a role that has
// a Carry function, which starts what runs the role, passes the control channel on,
// and ends when that has ended.
type Carrier struct {
	Role string // of the carrier, one of those given to Main
	Spec any    // encoded as JSON, for its Carry function; may be nil
}

// Cargo is what a carrier carries.
type Cargo struct {
	// In and Out are the carrier's ends of the control channel: what is read from In
	// is for the role, what is written to Out comes from it. The end of In is the
	// end of the parent.
	In, Out *os.File

	// Env is the environment that makes a program of this project take the role and
	// find the channel at its standard input and output, with what
	// [Options].GoMaxProcs and Env ask for.
	Env []string

	CPUs []int           // [Options].CPUs, for the role; the carrier itself is not pinned
	Spec json.RawMessage // [Carrier].Spec
}

// manifest is the form in which a cargo travels.
type manifest struct {
	Env  []string
	CPUs []int
	Spec json.RawMessage
}

// cargo is the variable that tells a carrier of a role.
func (o Options) cargo() (string, error) {
	spec, err := json.Marshal(o.Carrier.Spec)
	if err != nil {
		return "", fmt.Errorf("encode the carrier's specification: %w", err)
	}
	text, err := json.Marshal(manifest{Env: append(o.ownEnv(), envRole+"="+o.Role, envPipes+"=0,1"), CPUs: o.CPUs, Spec: spec})
	return envCargo + "=" + string(text), err
}

// carry runs a carrier.
func carry(role Role, text string, in, out *os.File) error {
	var m manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("what is to be carried: %w", err)
	}
	return role.Carry(Cargo{In: in, Out: out, Env: m.Env, CPUs: m.CPUs, Spec: m.Spec})
}

// killCarrier asks a carrier to end what it carries at once, which no kernel does
// for it, and kills it if that takes too long.
func killCarrier(p *os.Process) error {
	err := p.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.Kill()
	}
	time.AfterFunc(carrierGrace, func() { _ = p.Kill() }) // an error if it has ended
	return err
}
