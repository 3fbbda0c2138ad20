package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"netbench/internal/cpu"
	"netbench/internal/ptree"
	"netbench/load"
	"netbench/results"
	"netbench/testenv"
)

func loadCommand() Command {
	return Command{
		Name:  "load",
		Args:  "URL...",
		Short: "generate load on a server and measure it",
		Long: `The URL says what is spoken: tcp://host:port (echo), frame://host:port (4-byte
length, payload, echoed), line://host:port (ping), unix:///path (echo) or
http://host:port/path (HTTP/1.1). Connections are spread over several URLs.

Modes: closed, each connection sends when the reply came, which finds capacity;
open, requests are due at -rate whatever the server does, and latency counts from
the time they were due, which finds what users feel; connect, each cycle dials,
exchanges once, closes and pauses; idle, connections are held for -duration
without traffic and proven alive by an exchange before and after; stream, bytes
flow both ways all the time.

It never believes itself blindly: each metric is valid or not, with the reasons
printed. Server CPU is measured if -server-pid names the server.

Only this host is loaded, unless -allow-remote is given; use that on hosts that
are yours.

Exit codes: 0 measured; 2 bad input, or nobody answers at the URL; 3 interrupted,
or a metric named by -metrics is invalid.`,
		Examples: []Example{
			{"Capacity of an echo server, 100 connections:",
				"netbench load -conns 100 -duration 5s tcp://127.0.0.1:7000"},
			{"Latency of a web server at 2000 requests a second, as JSON:",
				"netbench load -mode open -rate 2000 -conns 64 -json http://127.0.0.1:8080/plaintext"},
			{"Hold 15,000 connections for 10 s and prove that they live:",
				"netbench load -mode idle -conns 15000 -duration 10s tcp://127.0.0.1:7000"},
			{"Send JSON by POST:",
				`netbench load -method POST -header 'Content-Type: application/json' -body '{"a":1}' http://127.0.0.1:8080/echo`},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := declareLoadFlags(flags)
			return func(ctx context.Context, args []string, s Streams) (int, error) {
				return f.run(ctx, flags, args, s)
			}
		},
	}
}

// loadFlags are the flags of load.
type loadFlags struct {
	plan      load.Plan
	mode      string
	arrivals  string
	engine    string
	headers   headerFlag
	body      string
	cpus      string
	serverPID int
	metrics   string
	hgrm      string
	asJSON    bool
}

func declareLoadFlags(fs *flag.FlagSet) *loadFlags {
	f := &loadFlags{headers: headerFlag{}}
	p := &f.plan
	fs.StringVar(&f.mode, "mode", "closed", "`mode`: closed, open, connect, idle or stream")
	fs.IntVar(&p.Conns, "conns", 50, "`number` of connections")
	fs.Float64Var(&p.Rate, "rate", 0, "requests a second that are due, in mode open (`number`)")
	fs.StringVar(&f.arrivals, "arrivals", "constant", "how they are spread, in mode open: constant or poisson (`kind`)")
	fs.DurationVar(&p.Duration, "duration", 10*time.Second, "`time` that is measured")
	fs.DurationVar(&p.Warmup, "warmup", 0, "`time` before that, not measured")
	fs.Int64Var(&p.Requests, "requests", 0, "stop after so many requests, in modes closed, connect and stream (`number`)")
	fs.IntVar(&p.Size, "size", 0, "payload of an echo request in `bytes`; 64, in mode connect 13, in mode stream 65536 unless given")
	fs.IntVar(&p.Pipeline, "pipeline", 1, "requests outstanding on one connection (`number`)")
	fs.Uint64Var(&p.Seed, "seed", 1, "`number` that payload and Poisson arrivals are made from")
	fs.DurationVar(&p.Pause, "pause", 10*time.Millisecond, "rest between two cycles, in mode connect (`time`)")
	fs.DurationVar(&p.DialTimeout, "dial-timeout", 5*time.Second, "longest `time` for a connect")
	fs.DurationVar(&p.RequestTimeout, "timeout", 10*time.Second, "longest `time` for an exchange")
	fs.StringVar(&p.Method, "method", "GET", "`method` of HTTP requests")
	fs.Var(f.headers, "header", "`'Name: value'` for HTTP requests; may be repeated")
	fs.StringVar(&f.body, "body", "", "body of HTTP requests: `text`, or @FILE")
	fs.StringVar(&f.engine, "engine", "", "how connections are driven: epoll (Linux) or portable (`kind`); the best there is unless given")
	fs.StringVar(&f.cpus, "cpus", "", "CPUs of the generator, as in 1,4-7 or all (`list`); half of this process's unless given")
	fs.IntVar(&p.Processes, "processes", 0, "`number` of generator processes; as many as the connections need unless given")
	fs.IntVar(&f.serverPID, "server-pid", 0, "`pid` of the server, to measure its CPU time, with its children's")
	fs.StringVar(&f.metrics, "metrics", "rate,latency", "`list` of metrics that must be valid: rate, latency, cpu, counts; or none")
	t := &p.Thresholds
	fs.DurationVar(&t.SendLag, "max-send-lag", 200*time.Microsecond, "p99 of the send lag from which on latency is invalid, in mode open (`time`)")
	fs.Float64Var(&t.SendLagShare, "max-send-lag-share", 0.05, "the same as a `share` of the median latency; the larger of the two holds")
	fs.Float64Var(&t.GeneratorCPU, "max-generator-cpu", 0.85, "`share` of its CPUs that the generator may use before latency is invalid, in mode open")
	fs.Float64Var(&t.LittleResidual, "max-little-residual", 0.05, "`share` by which rate times latency may differ from the requests under way")
	fs.Float64Var(&t.Steal, "max-steal", 0.05, "`share` of the CPU time that the host may take away")
	fs.StringVar(&f.hgrm, "hgrm", "", "write the distribution of latencies to `FILE`, in HdrHistogram's text format (µs)")
	fs.BoolVar(&f.asJSON, "json", false, "print the result as one JSON object")
	fs.BoolVar(&p.AllowRemote, "allow-remote", false, "permit a target that is not this host")
	return f
}

// positive are the flags whose value, if given, has to be above zero.
var positive = []string{"conns", "duration", "requests", "size", "pipeline", "dial-timeout", "timeout", "processes", "server-pid",
	"max-send-lag", "max-send-lag-share", "max-generator-cpu", "max-little-residual", "max-steal"}

func (f *loadFlags) run(ctx context.Context, fs *flag.FlagSet, args []string, s Streams) (int, error) {
	p, err := f.build(ctx, fs, args)
	if err != nil {
		return results.ExitBadInput, err
	}
	wanted, err := parseMetrics(f.metrics)
	if err != nil {
		return results.ExitBadInput, err
	}
	if wanted["cpu"] && f.serverPID == 0 {
		return results.ExitBadInput, errors.New("metric cpu needs the server's process (give -server-pid)")
	}
	if f.hgrm != "" && p.Mode == load.Stream {
		return results.ExitBadInput, errors.New("mode stream has no latencies to write (leave -hgrm out)")
	}
	out, err := createDistribution(f.hgrm)
	if err != nil {
		return results.ExitBadInput, err
	}
	defer out.discard()
	progress, finish := showProgress(s.Err)
	p.Progress = progress
	r, err := load.Run(ctx, p)
	finish()
	if err != nil {
		if ctx.Err() != nil {
			return results.ExitUndecided, errors.New("interrupted before anything was measured")
		}
		return results.ExitBadInput, err
	}
	if err := out.write(r); err != nil {
		return results.ExitBadInput, err
	}
	if f.asJSON {
		err = printJSON(s.Out, r)
	} else {
		err = printLoad(s.Out, r)
	}
	if err != nil {
		return results.ExitBadInput, err
	}
	if r.Interrupted || !meets(r, wanted) {
		return results.ExitUndecided, nil
	}
	return results.ExitGood, nil
}

// build makes a plan of flags and arguments.
func (f *loadFlags) build(ctx context.Context, fs *flag.FlagSet, args []string) (load.Plan, error) {
	p := f.plan
	var bad error
	fs.Visit(func(g *flag.Flag) {
		for _, name := range positive {
			if g.Name == name && (g.Value.String() == "0" || g.Value.String() == "0s" || strings.HasPrefix(g.Value.String(), "-")) && bad == nil {
				bad = fmt.Errorf("-%s is %s (want more than 0)", name, g.Value)
			}
		}
	})
	if bad != nil {
		return p, bad
	}
	if err := f.idleFlags(fs); err != nil {
		return p, err
	}
	if len(args) == 0 {
		return p, errors.New("no URL (for instance tcp://127.0.0.1:7000; see: netbench help load)")
	}
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			return p, fmt.Errorf("flag %s stands behind the URL (flags go before it)", a)
		}
		t, err := load.ParseTarget(ctx, a)
		if err != nil {
			return p, err
		}
		p.Targets = append(p.Targets, t)
	}
	p.Mode, p.Arrivals, p.Engine = load.Mode(f.mode), load.ArrivalKind(f.arrivals), load.EngineKind(f.engine)
	if err := f.foreignFlags(fs, p.Targets[0].Protocol); err != nil {
		return p, err
	}
	p.Header = f.headers.header()
	var err error
	if p.Body, err = readBody(f.body); err != nil {
		return p, err
	}
	if p.CPUs, err = generatorCPUs(f.cpus); err != nil {
		return p, err
	}
	if f.serverPID != 0 {
		if err := watchServer(&p, f.serverPID); err != nil {
			return p, err
		}
	}
	return p.Normalize()
}

// onlyIn lists the flags that only some modes heed.
var onlyIn = map[string][]string{
	"arrivals":            {"open"},
	"pause":               {"connect"},
	"max-send-lag":        {"open"},
	"max-send-lag-share":  {"open"},
	"max-generator-cpu":   {"open"},
	"max-little-residual": {"closed", "open"},
	"pipeline":            {"closed", "open", "stream"},
}

// idleFlags returns an error if a flag was given that the mode would ignore.
func (f *loadFlags) idleFlags(fs *flag.FlagSet) (err error) {
	fs.Visit(func(g *flag.Flag) {
		if modes, some := onlyIn[g.Name]; some && err == nil && !slices.Contains(modes, f.mode) && slices.Contains(load.Modes, load.Mode(f.mode)) {
			err = fmt.Errorf("-%s has no effect in mode %s (it belongs to mode %s)", g.Name, f.mode, strings.Join(modes, ", "))
		}
	})
	return err
}

// foreignFlags returns an error if a flag was given that the protocol would
// ignore.
func (f *loadFlags) foreignFlags(fs *flag.FlagSet, protocol load.Protocol) (err error) {
	fs.Visit(func(g *flag.Flag) {
		if g.Name == "size" && protocol != load.EchoProtocol && protocol != load.FrameProtocol {
			err = fmt.Errorf("-size has no effect on %s targets (it belongs to tcp://, frame:// and unix://)", protocol)
		}
	})
	return err
}

// watchServer has the run measure the CPU time of a process and its descendants.
func watchServer(p *load.Plan, pid int) error {
	read := func() (time.Duration, error) { return ptree.CPUTime(pid) }
	if _, err := read(); err != nil {
		return fmt.Errorf("-server-pid %d: %w", pid, err)
	}
	p.ServerCPU = func() (time.Duration, error) {
		// The clock is exact when the server is blocked; one that never is
		// costs precision, not the run.
		for deadline := time.Now().Add(20 * time.Millisecond); time.Now().Before(deadline); {
			if blocked, err := ptree.Blocked(pid); err != nil || blocked {
				break
			}
			runtime.Gosched()
		}
		return read()
	}
	set, err := cpu.Thread(pid)
	p.ServerCPUs = len(set)
	return err
}

func readBody(s string) ([]byte, error) {
	if name, isFile := strings.CutPrefix(s, "@"); isFile {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("-body: %w", err)
		}
		return b, nil
	}
	return []byte(s), nil
}

// generatorCPUs reads the list of -cpus; empty stands for the set that leaves a
// server room.
func generatorCPUs(list string) ([]int, error) {
	if list == "" {
		place, err := testenv.Place()
		return place.Generator, err
	}
	if list == "all" {
		return cpu.Initial()
	}
	cpus, err := cpu.Parse(list)
	if err != nil {
		return nil, fmt.Errorf("-cpus: %w", err)
	}
	may, err := cpu.Initial()
	if err != nil {
		return nil, fmt.Errorf("-cpus: %w", err)
	}
	for _, c := range cpus {
		if !slices.Contains(may, c) {
			return nil, fmt.Errorf("-cpus: this process may not run on CPU %d (it may on %s)", c, cpu.Format(may))
		}
	}
	return cpus, nil
}

func parseMetrics(list string) (map[string]bool, error) {
	wanted := map[string]bool{}
	if list == "none" {
		return wanted, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		switch name {
		case "rate", "latency", "cpu", "counts":
			wanted[name] = true
		default:
			return nil, fmt.Errorf("-metrics: %q is unknown (use rate, latency, cpu, counts, or none)", name)
		}
	}
	return wanted, nil
}

// meets tells whether all metrics that are wanted are valid.
func meets(r *load.Result, wanted map[string]bool) bool {
	return (!wanted["rate"] || r.Valid.Rate) &&
		(!wanted["latency"] || r.Valid.Latency) &&
		(!wanted["cpu"] || r.Valid.CPU) &&
		(!wanted["counts"] || r.Valid.Counts)
}
