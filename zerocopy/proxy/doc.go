// Package proxy is a TCP proxy that moves bytes between two sockets in one of
// several ways, to find out what each costs.
//
// The plain way reads into a buffer of the process and writes it out again: two
// copies, and two system calls, for each piece. splice(2) moves references to the
// kernel's pages through a pipe, so that no byte need be copied on the way: also two
// system calls for each piece, each of which does more than a read or a write, but
// does not depend on how many bytes lie in a page. So there should be a size of message
// below which the buffer is cheaper and above which splice is. It belongs to a kernel, a
// machine and a congestion control, as one that paces costs by the packet whatever moved
// the bytes; the proof of this package finds it and names all three.
//
// A pipe has two descriptors and, once there are many, a budget (see pipe(7),
// pipe-user-pages-soft). [Splice] borrows one from a pool while there is something in
// it, so that a connection without traffic holds its two sockets only. [Copy] is
// io.Copy between two connections, whose own splice path takes a pipe of 1 MiB for
// each direction before it waits for the first byte, and keeps it: six descriptors
// for each proxied connection. [ReadHoldings] tells what a process holds.
//
// # What the proxy promises
//
// Bytes pass unchanged and in order, each direction by itself. At most one
// Config.ReadBuffer of bytes is in the proxy for each direction, beside the sockets'
// own buffers (io.Copy: 1 MiB): while a peer does not read, the other is not read
// from. The end of a stream is passed on when all before it was, and the other
// direction goes on. If a connection fails, both are reset, and what the proxy has
// not handed over yet is lost, as it would be without a proxy. A client whose upstream
// cannot be reached is reset.
//
// Those bounds are of bytes of the stream. What a pipe holds are references to pieces of
// pages that the sender's kernel allocated, 32 KiB at once where it could, so a few bytes
// that are stuck in a pipe of 16 slots may keep half a MiB of the kernel's memory.
//
// A shutdown ends the stream to the upstream behind what the client has sent, and
// lets the upstream answer and end its own.
package proxy

import (
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"netbench/internal/tcpserver"
	"netbench/models"
)

// Way names how bytes are moved.
type Way string

const (
	// Buffer reads into a buffer of Config.ReadBuffer bytes and writes it. Each
	// direction has one for as long as the connection lives.
	Buffer Way = "buffer"

	// Splice moves up to Config.ReadBuffer bytes at a time through a pipe from a
	// pool. Needs Linux.
	Splice Way = "splice"

	// Copy is io.Copy from one connection to the other, which splices through a
	// pipe of its own. It ignores Config.ReadBuffer, and its bytes are counted in
	// Stats when a direction has ended. Needs Linux: elsewhere io.Copy would be
	// Buffer with 32 KiB.
	Copy Way = "iocopy"
)

// Ways returns what this platform has.
func Ways() []Way { return slices.Clone(ways) }

const (
	// DefaultDialTimeout bounds a connect to the upstream.
	DefaultDialTimeout = 5 * time.Second

	// DefaultIdlePipes is how many empty pipes are kept.
	DefaultIdlePipes = 64
)

// EnvUpstream is the environment variable that tells a server of [Models] where its
// upstream is, host:port. It goes into testenv.ServerSpec.Env.
const EnvUpstream = "NETBENCH_PROXY_UPSTREAM"

// EnvCongestion is the environment variable for Options.Congestion of such a server; it
// need not be set.
const EnvCongestion = "NETBENCH_PROXY_CONGESTION"

// Options are what a proxy needs beyond a model's configuration.
type Options struct {
	Way Way // required

	// Upstream is where connections are led to, host:port. Required.
	Upstream string

	// DialTimeout bounds a connect to it; 0 means 5 s.
	DialTimeout time.Duration

	// Congestion is TCP_CONGESTION of both connections, for instance "reno": of what the
	// proxy sends. "" leaves it to the kernel. Needs Linux.
	Congestion string

	// IdlePipes is how many empty pipes Splice keeps, 0 to 10,000; 0 means 64.
	// Further ones are closed when they become empty.
	IdlePipes int
}

func (o Options) check() (Options, error) {
	switch {
	case o.Way != Buffer && o.Way != Splice && o.Way != Copy:
		return o, fmt.Errorf("proxy: way %q is unknown (use %s, %s or %s)", o.Way, Buffer, Splice, Copy)
	case !slices.Contains(ways, o.Way):
		return o, fmt.Errorf("proxy: way %s: %w (it needs Linux; use %s)", o.Way, models.ErrUnsupported, Buffer)
	case o.DialTimeout < 0:
		return o, fmt.Errorf("proxy: the dial time-out is %v (want more than 0, or 0 for %v)", o.DialTimeout, DefaultDialTimeout)
	case o.IdlePipes < 0 || o.IdlePipes > 10_000:
		return o, fmt.Errorf("proxy: %d idle pipes (want 1 to 10000, or 0 for %d)", o.IdlePipes, DefaultIdlePipes)
	}
	if host, port, err := net.SplitHostPort(o.Upstream); err != nil || host == "" || port == "" {
		return o, fmt.Errorf("proxy: upstream %q is no address (want host:port, for instance 127.0.0.1:8080)", o.Upstream)
	}
	if o.Congestion != "" {
		if err := tcpserver.CheckCongestion(o.Congestion); err != nil {
			return o, fmt.Errorf("proxy: %w", err)
		}
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.IdlePipes == 0 {
		o.IdlePipes = DefaultIdlePipes
	}
	return o, nil
}

// Model is the name of a way in [Models].
func Model(w Way) string { return "proxy-" + string(w) }

// Models returns a factory for each way, by name, for servers in processes of their
// own. The upstream is taken from the environment: see [EnvUpstream].
func Models() map[string]models.Factory {
	all := make(map[string]models.Factory)
	for _, w := range ways {
		all[Model(w)] = func(cfg models.Config) (models.Server, error) {
			upstream := os.Getenv(EnvUpstream)
			if upstream == "" {
				return nil, fmt.Errorf("proxy: %s is not set (want the address of the upstream, host:port)", EnvUpstream)
			}
			s, err := New(cfg, Options{Way: w, Upstream: upstream, Congestion: os.Getenv(EnvCongestion)})
			if err != nil {
				return nil, err
			}
			return s, nil
		}
	}
	return all
}
