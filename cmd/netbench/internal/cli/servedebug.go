package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"netbench/internal/flight"
	"netbench/models"
	"netbench/testenv"
)

// serveDebug is what serve offers beside serving, as its flags say it.
type serveDebug struct {
	addr   string
	remote bool
	slow   flight.Config
}

func (d *serveDebug) declare(flags *flag.FlagSet) {
	flags.StringVar(&d.addr, "debug", "", "also serve the profiles of this process, at /debug/pprof/ of this `address`, on this host alone")
	flags.BoolVar(&d.remote, "debug-remote", false, "let -debug be an address that other hosts reach: who does can see and slow down this process")
	flags.DurationVar(&d.slow.Threshold, "slow", 0, "write the execution trace around a step of the service that takes longer than this `time`")
	flags.StringVar(&d.slow.Dir, "slow-dir", "slow-traces", "`directory` of these traces; the last ten are kept, one in ten seconds at most")
}

// check returns an error for what cannot be, before anything listens.
func (d *serveDebug) check(flags *flag.FlagSet) error {
	switch {
	case d.remote && d.addr == "":
		return errors.New("-debug-remote has no effect without -debug")
	case isGiven(flags, "slow-dir") && !isGiven(flags, "slow"):
		return errors.New("-slow-dir has no effect without -slow")
	case isGiven(flags, "slow") && d.slow.Threshold <= 0:
		return fmt.Errorf("-slow is %v (want more than 0)", d.slow.Threshold)
	}
	if d.addr == "" {
		return nil
	}
	addr, err := net.ResolveTCPAddr("tcp", d.addr)
	if err != nil {
		return fmt.Errorf("-debug: %w", err)
	}
	if !addr.IP.IsLoopback() && !d.remote {
		return fmt.Errorf("-debug %s can be reached by other hosts, which could see and slow down this process (use 127.0.0.1:%d, or -debug-remote if that is wanted)", d.addr, addr.Port)
	}
	return nil
}

// on tells whether there is anything that costs the server time.
func (d *serveDebug) on() bool { return d.addr != "" || d.slow.Threshold > 0 }

// watch switches the flight recorder on, and returns the service that it observes.
func (d *serveDebug) watch(service models.Service, messages io.Writer) (_ models.Service, stop func() error, err error) {
	if d.slow.Threshold == 0 {
		return service, func() error { return nil }, nil
	}
	lines := log.New(messages, "", 0) // prints one line at a time
	d.slow.Log = func(line string) { lines.Print(line) }
	unmade, err := makeDirectory(d.slow.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("-slow-dir %s: %w", d.slow.Dir, err)
	}
	r, err := flight.Start(d.slow)
	if err != nil {
		unmade()
		return nil, nil, fmt.Errorf("-slow: %w", err)
	}
	return r.Service(service), func() error {
		defer unmade() // if no step was slow
		return r.Stop()
	}, nil
}

// unfit is why a model could not make a server of a service that is observed. A family's
// service travels to its workers by name, which an observed one has not; so whether it
// is a family is asked of the server of the plain service, which c has.
func (d *serveDebug) unfit(factory models.Factory, c models.Config, model string, failed error) error {
	if d.slow.Threshold == 0 {
		return failed
	}
	server, err := factory(c)
	if err != nil {
		return err
	}
	return errors.Join(cmp.Or(d.fits(server, model), failed), server.Close())
}

// fits returns an error for a server whose work is not done in this process.
func (d *serveDebug) fits(server models.Server, model string) error {
	if _, several := server.(testenv.Family); several && d.on() {
		return fmt.Errorf("-debug and -slow are about one process, and %s has several (choose another model)", model)
	}
	return nil
}

// Rates at which locks and waits are sampled while profiles are served: one of a
// hundred events of contention, and one wait for each 100 µs.
const (
	debugMutexFraction = 100
	debugBlockRate     = 100_000 // ns
)

// serve serves the profiles until stop; where says so in a line, if it does.
func (d *serveDebug) serve() (where string, stop func() error, err error) {
	if d.addr == "" {
		return "", func() error { return nil }, nil
	}
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return "", nil, fmt.Errorf("-debug: %w", err)
	}
	fraction := runtime.SetMutexProfileFraction(debugMutexFraction)
	runtime.SetBlockProfileRate(debugBlockRate)
	// No time-out for writing: a profile of 30 s is written for 30 s.
	server := &http.Server{
		Handler: pprofHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // of clients that hang up
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	where = fmt.Sprintf("profiles: http://%s/debug/pprof/  (figures of this process are not to be published)\n", l.Addr())
	return where, func() error {
		err := server.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		runtime.SetMutexProfileFraction(fraction)
		runtime.SetBlockProfileRate(0)
		return err
	}, nil
}

// pprofHandler serves the profiles, by routes of its own: what other packages put into
// the default ones is not shown.
func pprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
