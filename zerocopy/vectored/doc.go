// Package vectored compares ways to send a reply that lies in several places of
// memory, a header here and a body there.
//
// [Join] copies all parts into one buffer and writes that: one system call, and as
// many bytes copied in the process. [Writes] writes each part: no copy, a system call
// for each, and with TCP_NODELAY, which Go sets, a packet for each that is small.
// [Writev] hands the kernel a list of the parts, by net.Buffers: one system call and
// no copy in the process. Each may be between two calls that set and clear TCP_CORK,
// while which the kernel sends full packets only: so several writes leave in as few
// packets as one.
//
// Two traps: net.Buffers consumes itself, so it has to be made anew for each reply;
// and it is a writev only on a bare *net.TCPConn (or Unix connection), while on any
// type around one it writes the parts one by one, without a word.
//
// The server speaks as much HTTP/1.1 as is needed to ask it for replies of any size:
//
//	GET /bytes/N      N bytes, 0 to MaxBody, in one part; byte i is i mod 251
//	GET /bytes/N/P    the same in P parts of nearly equal size, 1 to MaxParts
//
// with keep-alive and pipelining. The header of a reply is a part of its own.
// Requests with a body, and whatever else is not understood, are refused, and the
// connection ends.
package vectored

import (
	"fmt"
	"slices"

	"netbench/models"
)

// Way names how the parts of a reply are sent.
type Way string

const (
	// Join copies the parts into a buffer that the connection keeps.
	Join Way = "join"

	// Writes writes them one by one.
	Writes Way = "writes"

	// Writev writes them by net.Buffers, 1024 at a time.
	Writev Way = "writev"
)

// Ways returns all of them.
func Ways() []Way { return []Way{Join, Writes, Writev} }

const (
	// MaxBody is the longest body, in bytes.
	MaxBody = 1 << 20

	// MaxParts is the most parts of a body. It is beyond what one writev takes
	// (IOV_MAX, 1024).
	MaxParts = 4096
)

// Options say how replies are sent.
type Options struct {
	Way Way // required

	// Cork sets TCP_CORK before the first part of a reply and clears it after the
	// last, which costs two system calls. Needs Linux.
	Cork bool
}

func (o Options) check() error {
	if !slices.Contains(Ways(), o.Way) {
		return fmt.Errorf("vectored: way %q is unknown (use %s, %s or %s)", o.Way, Join, Writes, Writev)
	}
	if o.Cork && !corkSupported {
		return fmt.Errorf("vectored: TCP_CORK: %w (it needs Linux)", models.ErrUnsupported)
	}
	return nil
}

// variant is how the options are called in [models.Stats].
func (o Options) variant() string {
	if o.Cork {
		return string(o.Way) + "-cork"
	}
	return string(o.Way)
}

// Model is the name of a server with these options in [Models].
func (o Options) Model() string { return "vectored-" + o.variant() }

// All returns every combination that this platform has.
func All() []Options {
	var all []Options
	for _, w := range Ways() {
		all = append(all, Options{Way: w})
		if corkSupported {
			all = append(all, Options{Way: w, Cork: true})
		}
	}
	return all
}

// Models returns a factory for each of them, by name.
func Models() map[string]models.Factory {
	all := make(map[string]models.Factory)
	for _, o := range All() {
		all[o.Model()] = func(cfg models.Config) (models.Server, error) { return New(cfg, o) }
	}
	return all
}
