package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"netbench/models"
	"netbench/models/goroutine"
	"netbench/models/reactor"
	"netbench/models/reuseport"
	"netbench/results"
	"netbench/testenv"
)

// Models are all models that netbench knows, by the name that users type.
func Models() map[string]models.Factory {
	all := goroutine.Models()
	maps.Copy(all, reactor.Models())
	maps.Copy(all, reuseport.Models())
	return all
}

// modelNames lists them, sorted.
func modelNames() string {
	return strings.Join(slices.Sorted(maps.Keys(Models())), ", ")
}

func serveCommand() Command {
	return Command{
		Name:  "serve",
		Short: "run a model with a service until interrupted",
		Long: `It prints the URL that it listens on, and serves. The first interrupt (or SIGTERM)
drains: requests under way are answered, new connections refused. At the end it
prints what it has done.

Services: echo, frame (4-byte length, payload, echoed), line (ping, time, status)
http (/plaintext, /echo, /bytes/N) and heap, which is http with /json and a heap:
heap+live=256MiB+objects=large+alloc=64KiB (see: netbench help gc). A suffix makes them
slower for an experiment: echo+spin=500 computes before each answer, echo+wait=1ms
blocks.

With -debug it also serves its own profiles, and with -slow it keeps the execution
trace of the last seconds and writes it when a request was slow. Both cost time: do not
publish figures of such a server.

Exit codes: 0 served and drained; 1 the listener failed, or the server did not
drain; 2 bad input; 3 interrupted while it started, which failed.`,
		Examples: []Example{
			{"An echo server for netbench load:", "netbench serve -addr 127.0.0.1:7000"},
			{"A web server on a goroutine for each connection:", "netbench serve -model goroutine -service http -addr 127.0.0.1:8080"},
			{"A process for each CPU, restarted if it dies:", "netbench serve -model prefork-goroutine -addr 127.0.0.1:7000"},
			{"With its profiles at http://127.0.0.1:6060/debug/pprof/:", "netbench serve -addr 127.0.0.1:7000 -debug 127.0.0.1:6060"},
			{"On a Unix socket:", "netbench serve -network unix -addr /tmp/echo.sock"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			model := flags.String("model", "goroutine", "`model`: "+modelNames())
			service := flags.String("service", "echo", "`service`: "+strings.Join(models.ServiceNames(), ", "))
			var c models.Config
			flags.StringVar(&c.Network, "network", "tcp", "`network`: tcp, tcp4, tcp6 or unix")
			flags.StringVar(&c.Address, "addr", models.DefaultAddress, "`address` to listen on: host:port, port 0 for a free one; or the path of a Unix socket")
			flags.IntVar(&c.ReadBuffer, "read-buffer", models.DefaultReadBuffer, "size of one read in `bytes`")
			flags.IntVar(&c.Loops, "loops", 0, "event loops, of models that have them (`number`); GOMAXPROCS unless given")
			flags.IntVar(&c.Listeners, "listeners", 0, "sockets that share the address, or worker processes (`number`); one for each CPU unless given, in models that share")
			flags.IntVar(&c.Backlog, "backlog", 0, "queue of connections not yet accepted (`number`); the host's maximum unless given")
			flags.IntVar(&c.RecvBuffer, "rcvbuf", 0, "SO_RCVBUF in `bytes`; tuned by the kernel unless given")
			flags.IntVar(&c.SendBuffer, "sndbuf", 0, "SO_SNDBUF in `bytes`; tuned by the kernel unless given")
			flags.IntVar(&c.MaxConns, "max-conns", models.DefaultMaxConns, "connections served at once (`number`), -1 for no limit")
			reject := flags.Bool("reject", false, "close connections beyond -max-conns at once, in place of letting them wait")
			noDelay := flags.Bool("nodelay", true, "send small replies at once (TCP_NODELAY)")
			flags.DurationVar(&c.IdleTimeout, "idle", models.DefaultIdleTimeout, "`time` after which a silent connection is closed, -1ns for never")
			flags.IntVar(&c.MaxPending, "max-pending", models.DefaultMaxPending, "`bytes` that a peer who does not read may owe")
			drain := flags.Duration("drain", 5*time.Second, "longest `time` for draining")
			var debug serveDebug
			debug.declare(flags)
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				factory, ok := Models()[*model]
				if !ok {
					return results.ExitBadInput, fmt.Errorf("model %q is unknown (use %s)", *model, modelNames())
				}
				var err error
				if c.Service, err = models.ParseService(*service); err != nil {
					return results.ExitBadInput, err
				}
				if *reject {
					c.OnLimit = models.Reject
				}
				if !*noDelay {
					c.NoDelay = models.Off
				}
				if c.Network == "tcp6" && c.Address == models.DefaultAddress {
					c.Address = ""
				}
				if err := debug.check(flags); err != nil {
					return results.ExitBadInput, err
				}
				plain := c.Service
				var landed func() error // ends the flight recorder
				if c.Service, landed, err = debug.watch(plain, s.Err); err != nil {
					return results.ExitBadInput, err
				}
				debugged := func() error { return nil } // ends the profiles
				refuse := func(err error) (int, error) {
					err = errors.Join(err, debugged(), landed())
					if ctx.Err() != nil {
						return results.ExitUndecided, fmt.Errorf("interrupted while it started: %w", err)
					}
					return results.ExitBadInput, err
				}
				server, err := factory(c)
				if err != nil {
					c.Service = plain
					return refuse(debug.unfit(factory, c, *model, err))
				}
				if err := debug.fits(server, *model); err != nil {
					return refuse(errors.Join(err, server.Close()))
				}
				profiles, end, err := debug.serve()
				if err != nil {
					return refuse(errors.Join(err, server.Close()))
				}
				debugged = end
				if _, family := server.(testenv.Family); !family { // its workers prepare their own
					if err := models.Prepare(c.Service); err != nil {
						return refuse(errors.Join(err, server.Close()))
					}
				}
				fmt.Fprintf(s.Out, "%s  (%s on %s; interrupt to stop)\n", serverURL(server, c.Service), c.Service.Name(), *model)
				fmt.Fprint(s.Out, profiles)
				exit, err := serveUntil(ctx, server, *drain, s)
				if e := errors.Join(debugged(), landed()); e != nil {
					return max(exit, results.ExitFailed), errors.Join(err, e)
				}
				return exit, err
			}
		},
	}
}

// serveUntil serves until ctx ends, then drains.
func serveUntil(ctx context.Context, server models.Server, drain time.Duration, s Streams) (int, error) {
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	select {
	case err := <-served:
		return results.ExitFailed, errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	drained := server.Shutdown(limit)
	err := <-served
	st := server.Stats()
	fmt.Fprintf(s.Out, "served %d connections, %d bytes in, %d bytes out; %d refused, %d idle, %d failed\n",
		st.Accepted, st.BytesIn, st.BytesOut, st.Rejected, st.IdleClosed, st.ConnErrors)
	switch {
	case limit.Err() != nil && errors.Is(drained, context.DeadlineExceeded):
		return results.ExitFailed, fmt.Errorf("connections were cut that had not drained within %v", drain)
	case drained != nil:
		return results.ExitFailed, fmt.Errorf("drain: %w", drained)
	}
	if !errors.Is(err, models.ErrServerClosed) {
		return results.ExitFailed, err
	}
	return results.ExitGood, nil
}

// serverURL is what netbench load takes to reach the server.
func serverURL(s models.Server, service models.Service) string {
	if s.Addr().Network() == "unix" {
		return "unix://" + s.Addr().String()
	}
	name, _, _ := strings.Cut(service.Name(), "+")
	switch name {
	case "http":
		return "http://" + s.Addr().String() + "/plaintext"
	case "heap":
		return "http://" + s.Addr().String() + "/json"
	case "frame", "line":
		return name + "://" + s.Addr().String()
	}
	return "tcp://" + s.Addr().String()
}
