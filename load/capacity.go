package load

import (
	"context"
	"fmt"
	"net"
)

// spareDescriptors is what a generator process needs beside its connections: an
// epoll descriptor for each thread, standard streams, the control channel.
const spareDescriptors = 64

// localPorts is the number of local ports that Linux hands out by default for
// one target and source address (ip_local_port_range 32768 to 60999), less some
// that are in use. Targets in 127.0.0.0/8 are reached from many source
// addresses; others are not.
const localPorts = 28_000

// processesFor says over how many processes the connections have to be spread.
func processesFor(p *Plan) (int, error) {
	room := descriptorRoom() - spareDescriptors
	if p.Apart {
		room = descriptorLimit() - spareDescriptors
	}
	if room < 1 {
		return 0, badInput("this process may open no more than %d further descriptors (raise ulimit -n)", room+spareDescriptors)
	}
	need := (p.Conns + room - 1) / room
	switch {
	case p.Processes > p.Conns:
		return 0, badInput("processes is %d for %d connections (want at most one for each)", p.Processes, p.Conns)
	case p.Processes > 0 && p.Processes < need:
		return 0, badInput("conns is %d, but %s may hold at most %d (each may open %d descriptors; raise ulimit -n, or give more processes)",
			p.Conns, count(p.Processes, "generator process"), p.Processes*room, room)
	case need > p.MaxProcesses:
		return 0, badInput("conns is %d, but %s may hold at most %d (each may open %d descriptors; raise ulimit -n)",
			p.Conns, count(p.MaxProcesses, "generator process"), p.MaxProcesses*room, room)
	}
	per := (p.Conns + len(p.Targets) - 1) / len(p.Targets)
	for _, t := range p.Targets {
		if t.Network == "tcp" && !manySources(t) && per > localPorts {
			return 0, badInput("conns is %d, but one source address reaches %s only %d times (use targets in 127.0.0.0/8, or more targets)", p.Conns, t, localPorts)
		}
	}
	return max(need, p.Processes), nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ses", n, what)
}

// knock makes and closes one connection to each target, to tell a target that
// nobody serves from one that fails under load.
func knock(ctx context.Context, p *Plan) error {
	d := net.Dialer{Timeout: p.DialTimeout}
	for _, t := range p.Targets {
		c, err := d.DialContext(ctx, t.Network, t.Address)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return dialError(t, err)
		}
		_ = c.Close()
	}
	return nil
}

// Room is the number of connections that this process may still open. A session
// of more is spread over processes of its own.
func Room() int { return max(0, descriptorRoom()-spareDescriptors) }
