package load

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mode is how a run drives its connections.
type Mode string

const (
	Closed  Mode = "closed"  // each connection sends when the reply came
	Open    Mode = "open"    // requests are due at times fixed beforehand
	Connect Mode = "connect" // each cycle dials, exchanges once, closes, pauses
	Idle    Mode = "idle"    // connections are held without traffic, then proven alive
	Stream  Mode = "stream"  // bytes flow both ways without a pause, in a window
)

// Modes lists all modes, for messages and help.
var Modes = []Mode{Closed, Open, Connect, Idle, Stream}

// EngineKind names a way to drive connections.
type EngineKind string

const (
	// Epoll drives all connections of a CPU from one locked thread. Linux.
	Epoll EngineKind = "epoll"
	// Portable gives each connection a goroutine. It runs everywhere, costs
	// several times the CPU and memory, and its due times are as coarse as the
	// Go runtime's timers.
	Portable EngineKind = "portable"
)

// Plan describes a run. The zero value of each field but Targets is sane.
type Plan struct {
	// Targets are the servers. Connections are dealt out to them in turn. All
	// must speak the same protocol, and HTTP targets have the same path: one
	// request is sent to all, with the Host of the first unless Header has one.
	Targets []Target

	Mode Mode // default Closed

	// Conns is the number of connections; default 50.
	Conns int

	// Silent is the number of connections, fewer than Conns, that a closed or
	// open loop holds open without traffic, spread evenly among the others, as
	// most are on a server of long-lived connections. An exchange on each proves
	// before and after that it is alive; what that costs is not measured. Where
	// several threads share the connections, it is met to within one for each.
	Silent int

	// Pipeline is the number of requests that may be outstanding on one
	// connection, 1 (the default) to 1024.
	Pipeline int

	// Size is the payload of an echo or frame request in bytes, 1 to 64 MiB,
	// default 64; in connect mode 13. In stream mode it is the unit in which
	// requests are counted, default 64 KiB.
	Size int

	// Rate is the number of requests a second that are due in all, in open mode
	// only, and there required.
	Rate     float64
	Arrivals ArrivalKind // default Constant

	// Duration is the length of the measured window; default 10 s. Warmup goes
	// before it, and is not measured; default none.
	Duration, Warmup time.Duration

	// Requests ends a closed, connect or stream run after so many requests (or
	// cycles), if Duration does not end it before; 0 means no such limit.
	Requests int64

	// Pause is how long a connection of connect mode rests between cycles;
	// default 10 ms.
	Pause time.Duration

	// DialTimeout bounds one connect, default 5 s. RequestTimeout bounds one
	// exchange, default 10 s. Grace is how long outstanding replies are waited
	// for after the window; default RequestTimeout, but at most 2 s.
	DialTimeout, RequestTimeout, Grace time.Duration

	// Method, Header and Body form an HTTP request; default GET.
	Method string
	Header http.Header
	Body   []byte

	// Seed makes payload and Poisson arrivals repeatable; 0 is a seed too.
	Seed uint64

	// Engine chooses how connections are driven; "" means Epoll where there is
	// epoll.
	Engine EngineKind

	// CPUs is the generator's CPU set, one thread on each; empty means one
	// thread that is not pinned. The portable engine runs on what the process
	// may run on.
	CPUs []int

	// Processes is the number of generator processes; 0 means as many as the
	// connections need: one, if its descriptors suffice, and then it is this
	// process. MaxProcesses bounds it; default 64.
	Processes, MaxProcesses int

	// Apart has generator processes of their own drive the connections even if
	// this process could. Of several sessions that are open at once, all are
	// then driven alike, and this process's descriptors bound none of them.
	Apart bool

	// AllowRemote permits targets that are not on this host.
	AllowRemote bool

	// ServerCPU reads the CPU time that the server has used so far. Without it
	// server CPU per request is absent, and whether the server was the limit is
	// only inferred. ServerCPUs is the number of CPUs that it may use.
	ServerCPU  func() (time.Duration, error) `json:"-"`
	ServerCPUs int

	// Thresholds say when a metric is invalid; zero fields mean the defaults.
	Thresholds Thresholds

	// Progress is told about the run, about four times a second, from another
	// goroutine; it may be nil.
	Progress func(Progress) `json:"-"`

	shard, shards int // which part of the whole this process is
}

// Progress is the state of a run that is under way.
type Progress struct {
	Phase    string        // "dial", or "measure", which includes warming up and draining
	Elapsed  time.Duration // since the phase began
	Of       time.Duration // length of the phase, 0 where it is open
	Conns    int           // connections open
	Requests int64         // requests completed in this phase
}

const (
	maxSize     = 64 << 20
	maxPipeline = 1024
	maxConns    = 10_000_000
)

// Normalize checks p and returns it with defaults filled in. Its errors wrap
// [ErrInput] and name the flag or field at fault.
func (p Plan) Normalize() (Plan, error) {
	if len(p.Targets) == 0 {
		return p, badInput("no target (want a URL: %s)", schemes)
	}
	proto := p.Targets[0].Protocol
	for _, t := range p.Targets {
		if t.Protocol != proto {
			return p, badInput("targets %s and %s speak different protocols (one run, one protocol)", p.Targets[0], t)
		}
		if proto == HTTPProtocol && t.Path != p.Targets[0].Path {
			return p, badInput("targets %s and %s have different paths (one run, one request)", p.Targets[0], t)
		}
		if !t.Loopback() && !p.AllowRemote {
			return p, badInput("target %s is not on this host (netbench loads only loopback addresses; -allow-remote overrides, for hosts that are yours)", t)
		}
	}
	p.Mode = cmp.Or(p.Mode, Closed)
	if !slices.Contains(Modes, p.Mode) {
		return p, badInput("mode %q is unknown (use closed, open, connect, idle or stream)", p.Mode)
	}
	p.Conns = cmp.Or(p.Conns, 50)
	p.Pipeline = cmp.Or(p.Pipeline, 1)
	if p.Size == 0 {
		switch p.Mode {
		case Connect:
			p.Size = 13
		case Stream:
			p.Size = 64 << 10
		default:
			p.Size = 64
		}
	}
	p.Arrivals = cmp.Or(p.Arrivals, Constant)
	p.Duration = cmp.Or(p.Duration, 10*time.Second)
	p.Pause = cmp.Or(p.Pause, 10*time.Millisecond)
	p.DialTimeout = cmp.Or(p.DialTimeout, 5*time.Second)
	p.RequestTimeout = cmp.Or(p.RequestTimeout, 10*time.Second)
	p.Grace = cmp.Or(p.Grace, min(p.RequestTimeout, 2*time.Second))
	p.Method = cmp.Or(p.Method, http.MethodGet)
	p.MaxProcesses = cmp.Or(p.MaxProcesses, 64)
	p.ServerCPUs = cmp.Or(p.ServerCPUs, 1)
	p.shards = cmp.Or(p.shards, 1)
	p.Thresholds = p.Thresholds.withDefaults()
	if p.Engine == "" {
		p.Engine = defaultEngine
	}
	return p, p.check(proto)
}

// check looks at values one by one, after defaults were filled in.
func (p *Plan) check(proto Protocol) error {
	switch {
	case p.Conns < 1 || p.Conns > maxConns:
		return badInput("conns is %d (want 1 to %d)", p.Conns, maxConns)
	case p.Silent < 0 || p.Silent >= p.Conns:
		return badInput("silent is %d of %d connections (want 0 or more, and at least one that is not)", p.Silent, p.Conns)
	case p.Silent > 0 && p.Mode != Closed && p.Mode != Open:
		return badInput("silent connections need mode closed or open, not %s", p.Mode)
	case p.Pipeline < 1 || p.Pipeline > maxPipeline:
		return badInput("pipeline is %d (want 1 to %d)", p.Pipeline, maxPipeline)
	case p.Size < 1 || p.Size > maxSize:
		return badInput("size is %d (want 1 to %d bytes)", p.Size, maxSize)
	case p.Duration < time.Millisecond:
		return badInput("duration is %v (want at least 1ms)", p.Duration)
	case p.Warmup < 0:
		return badInput("warmup is %v (want 0 or more)", p.Warmup)
	case p.Requests < 0:
		return badInput("requests is %d (want 0 for no limit, or more)", p.Requests)
	case p.Pause < 0:
		return badInput("pause is %v (want more than 0)", p.Pause)
	case p.DialTimeout < 0:
		return badInput("dial-timeout is %v (want more than 0)", p.DialTimeout)
	case p.RequestTimeout < 0:
		return badInput("timeout is %v (want more than 0)", p.RequestTimeout)
	case p.Grace < 0:
		return badInput("grace is %v (want more than 0)", p.Grace)
	case p.MaxProcesses < 1:
		return badInput("max-processes is %d (want at least 1)", p.MaxProcesses)
	case p.ServerCPUs < 1:
		return badInput("server-cpus is %d (want at least 1)", p.ServerCPUs)
	case p.Processes < 0 || p.Processes > p.MaxProcesses:
		return badInput("processes is %d (want 1 to %d, or 0 to choose)", p.Processes, p.MaxProcesses)
	case p.Mode == Open && !(p.Rate > 0 && p.Rate <= 1e8):
		return badInput("mode open needs a rate (-rate, requests a second, more than 0 and up to 1e8; it is %v)", p.Rate)
	case p.Mode != Open && p.Rate != 0:
		return badInput("a rate needs mode open (a %s loop sends as fast as replies come; use -mode open)", p.Mode)
	case p.Requests > 0 && (p.Mode == Open || p.Mode == Idle):
		return badInput("requests bounds closed, connect and stream runs, not %s ones (use -duration)", p.Mode)
	case p.Mode == Stream && (proto == LineProtocol || proto == HTTPProtocol):
		return badInput("mode stream needs a target that echoes (tcp://, frame:// or unix://), and %s speaks %s", p.Targets[0], proto)
	case (p.Mode == Connect || p.Mode == Idle) && p.Pipeline != 1:
		return badInput("mode %s exchanges one request at a time (leave -pipeline at 1)", p.Mode)
	case p.Engine != Epoll && p.Engine != Portable:
		return badInput("engine %q is unknown (use epoll or portable)", p.Engine)
	case p.Engine == Epoll && defaultEngine != Epoll:
		return badInput("engine epoll is not available on this platform (use portable)")
	}
	if _, err := ParseArrivals(string(p.Arrivals)); err != nil {
		return badInput("%v", err)
	}
	if proto != HTTPProtocol {
		if p.Method != http.MethodGet || len(p.Header) > 0 || len(p.Body) > 0 {
			return badInput("method, headers and body belong to http:// targets")
		}
		return nil
	}
	if !validToken(p.Method) {
		return badInput("method %q is not an HTTP method", p.Method)
	}
	for k, vs := range p.Header {
		if !validToken(k) {
			return badInput("header name %q is not valid", k)
		}
		for _, v := range vs {
			if strings.ContainsAny(v, "\r\n\x00") {
				return badInput("header %s has a line break in its value", k)
			}
		}
	}
	return nil
}

// validToken tells whether s is a token by RFC 9110, section 5.6.2.
func validToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// Thresholds say from when on a metric is not to be believed. A zero field means
// its default.
type Thresholds struct {
	// SendLag is the largest p99 of the time from when a request could be sent
	// to when it was; the limit in force is the larger of SendLag (default 200
	// µs) and SendLagShare (default 0.05) of the median latency.
	SendLag      time.Duration `json:"send_lag_ns"`
	SendLagShare float64       `json:"send_lag_share"`

	// GeneratorCPU is the largest share of its CPU set that the generator of an
	// open loop may use; default 0.85.
	GeneratorCPU float64 `json:"generator_cpu"`

	// BusyCPU is the share from which on a CPU set counts as saturated; default
	// 0.95.
	BusyCPU float64 `json:"busy_cpu"`

	// LittleResidual is the largest relative difference between the concurrency
	// that was there and rate times latency; default 0.05.
	LittleResidual float64 `json:"little_residual"`

	// Steal is the largest share of the run in which the host took our CPUs
	// away; default 0.05.
	Steal float64 `json:"steal"`
}

func (t Thresholds) withDefaults() Thresholds {
	return Thresholds{
		SendLag:        cmp.Or(t.SendLag, 200*time.Microsecond),
		SendLagShare:   cmp.Or(t.SendLagShare, 0.05),
		GeneratorCPU:   cmp.Or(t.GeneratorCPU, 0.85),
		BusyCPU:        cmp.Or(t.BusyCPU, 0.95),
		LittleResidual: cmp.Or(t.LittleResidual, 0.05),
		Steal:          cmp.Or(t.Steal, 0.05),
	}
}
