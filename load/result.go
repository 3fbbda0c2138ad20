package load

import (
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Limit is what kept a run from being faster.
type Limit string

const (
	LimitServer    Limit = "server"
	LimitGenerator Limit = "generator"
	LimitBoth      Limit = "both"
	LimitNeither   Limit = "neither"
)

// Valid says, metric by metric, whether a result may be believed.
type Valid struct {
	Rate    bool `json:"rate"`    // requests a second
	Latency bool `json:"latency"` // all latencies
	CPU     bool `json:"cpu"`     // server CPU per request
	Counts  bool `json:"counts"`  // numbers of requests, bytes, errors
}

// Quantiles summarizes durations in nanoseconds. A quantile q is nil, and absent
// from JSON, if there are fewer than 10/(1-q) samples: it would be a guess.
type Quantiles struct {
	P50   *int64   `json:"p50,omitempty"`
	P90   *int64   `json:"p90,omitempty"`
	P99   *int64   `json:"p99,omitempty"`
	P999  *int64   `json:"p999,omitempty"`
	Max   *int64   `json:"max,omitempty"`
	Mean  *float64 `json:"mean,omitempty"`
	Count int64    `json:"count"`
}

// quantiles reads a histogram, which may be nil.
func quantiles(h *hdrhistogram.Histogram) *Quantiles {
	if h == nil {
		return nil
	}
	q := &Quantiles{Count: h.TotalCount()}
	if q.Count == 0 {
		return q
	}
	at := func(needed int64, percent float64) *int64 {
		if q.Count < needed {
			return nil
		}
		v := h.ValueAtQuantile(percent)
		return &v
	}
	q.P50, q.P90 = at(20, 50), at(100, 90)
	q.P99, q.P999 = at(1000, 99), at(10_000, 99.9)
	top, mean := h.Max(), h.Mean()
	q.Max, q.Mean = &top, &mean
	return q
}

// Result is what a run measured. Its JSON form is what netbench load -json
// prints; durations there are in nanoseconds unless the name says otherwise.
type Result struct {
	Mode     Mode    `json:"mode"`
	Target   string  `json:"target"`
	Protocol string  `json:"protocol"`
	Conns    int     `json:"conns"`
	Silent   int     `json:"silent,omitempty"` // of these, held without traffic
	Pipeline int     `json:"pipeline"`
	Size     int     `json:"size,omitempty"` // of an echo or frame request, bytes
	Seed     uint64  `json:"seed"`
	Duration float64 `json:"duration_s"` // of the measured window

	// Requests is the number of requests (cycles in connect mode) that
	// succeeded: in the window, and for an open loop also those that were due
	// in it and succeeded after it. Rate counts the window only.
	// Answered adds those that succeeded after the window in any mode, and whole
	// replies that report failure; costs are given for each of these.
	Requests int64   `json:"requests"`
	Answered int64   `json:"answered"`
	Rate     float64 `json:"rate"`              // successful requests a second
	Offered  float64 `json:"offered,omitempty"` // open mode: the rate asked for
	Success  float64 `json:"success"`           // requests over requests and errors, 0 to 1

	Errors     map[string]int64 `json:"errors"`
	FirstError string           `json:"first_error,omitempty"`
	Lost       int64            `json:"lost"`  // connections that ended unasked
	Alive      int64            `json:"alive"` // connections open at the end
	BytesIn    int64            `json:"bytes_in"`
	BytesOut   int64            `json:"bytes_out"`

	Latency  *Quantiles `json:"latency_ns,omitempty"`   // open: from due; closed: from send; connect: whole cycle
	Service  *Quantiles `json:"service_ns,omitempty"`   // from send to reply
	ConnWait *Quantiles `json:"conn_wait_ns,omitempty"` // open: from due to a connection being free
	SendLag  *Quantiles `json:"send_lag_ns,omitempty"`  // open: from when it could be sent to when it was
	Connect  *Quantiles `json:"connect_ns,omitempty"`   // connect: from dialling to established

	GeneratorCPU   float64  `json:"generator_cpu"`                  // share of its CPU set, 0 to 1
	GeneratorPerOp float64  `json:"generator_cpu_ns_per_op"`        // generator CPU per request, ns
	ServerCPU      *float64 `json:"server_cpu,omitempty"`           // share of its CPU set, 0 to 1
	ServerPerOp    *float64 `json:"server_cpu_ns_per_op,omitempty"` // server CPU per request, ns
	Steal          *float64 `json:"steal,omitempty"`                // share of the window taken by the host
	LittleResidual *float64 `json:"little_residual,omitempty"`      // |rate x latency / concurrency - 1|

	Limit Limit `json:"limit"`
	// LimitInferred tells that the server's CPU was not observed: the limit
	// "server" then only means that the generator was not.
	LimitInferred bool `json:"limit_inferred,omitempty"`

	Valid   Valid    `json:"valid"`
	Reasons []string `json:"reasons"` // why something is invalid

	// Warnings tell what is valid but looks bad: of connect mode, a cycle's mean
	// above 100 ms, success below 95 %, a rate below 1000 a second.
	Warnings []string `json:"warnings,omitempty"`

	Thresholds Thresholds `json:"thresholds"` // that Valid was judged by

	Engine      EngineKind `json:"engine"`
	EngineNote  string     `json:"engine_note,omitempty"` // what the engine cannot do
	Processes   int        `json:"processes"`
	Interrupted bool       `json:"interrupted,omitempty"`

	hist series
}

// Histogram returns the distribution behind Latency, or nil.
func (r *Result) Histogram() *hdrhistogram.Histogram {
	if r.hist.latency != nil {
		return r.hist.latency
	}
	return r.hist.service
}

// SendLagHistogram returns the distribution behind SendLag, or nil.
func (r *Result) SendLagHistogram() *hdrhistogram.Histogram { return r.hist.sendLag }

// circumstances are what a run observed beside its tally.
type circumstances struct {
	serverCPU *time.Duration
	wall      time.Duration // that serverCPU belongs to
	steal     *float64
	processes int
	genCPUs   int // size of the generator's CPU set, over all processes
	stopped   bool
}

// newResult judges a tally.
func newResult(p *Plan, t *tally, c circumstances) *Result {
	names := ""
	for i, target := range p.Targets {
		if i > 0 {
			names += ","
		}
		names += target.String()
	}
	r := &Result{
		Mode: p.Mode, Target: names, Protocol: string(p.Targets[0].Protocol),
		Conns: p.Conns, Silent: p.Silent, Pipeline: p.Pipeline, Seed: p.Seed,
		Duration: t.elapsed.Seconds(),
		Requests: t.completed, Answered: t.answered(),
		Errors: t.errors.Map(), FirstError: t.first, Lost: t.lost, Alive: t.alive,
		BytesIn: t.bytesIn, BytesOut: t.bytesOut,
		Engine: p.Engine, Processes: c.processes, Interrupted: c.stopped,
		Reasons: []string{}, Steal: c.steal, hist: t.series,
	}
	if proto := p.Targets[0].Protocol; proto == EchoProtocol || proto == FrameProtocol {
		r.Size = p.Size
	}
	if p.Engine == Portable {
		r.EngineNote = portableNote
	}
	if p.Mode == Open {
		r.Requests = t.completed + t.drained // all were due in the window
	}
	if t.elapsed > 0 {
		r.Rate = float64(t.completed) / t.elapsed.Seconds()
	}
	if all := r.Requests + t.errors.Total(); all > 0 {
		r.Success = float64(r.Requests) / float64(all)
	}
	if p.Mode == Open {
		r.Offered = p.Rate
	}
	if p.Mode == Closed && r.hist.latency == nil {
		r.hist.latency = r.hist.service // in a closed loop they are the same
	}
	r.Latency, r.Service = quantiles(r.hist.latency), quantiles(r.hist.service)
	r.ConnWait, r.SendLag, r.Connect = quantiles(r.hist.connWait), quantiles(r.hist.sendLag), quantiles(r.hist.connect)
	if t.cpuWall > 0 {
		r.GeneratorCPU = t.cpu.Seconds() / t.cpuWall.Seconds() / float64(generatorCPUs(p, c))
	}
	if n := t.answered(); n > 0 {
		r.GeneratorPerOp = float64(t.cpuAll) / float64(n)
	}
	if c.serverCPU != nil && c.wall > 0 {
		share := c.serverCPU.Seconds() / c.wall.Seconds() / float64(p.ServerCPUs)
		r.ServerCPU = &share
		if n := t.answered(); n > 0 {
			per := float64(*c.serverCPU) / float64(n)
			r.ServerPerOp = &per
		}
	}
	if t.inSystem > 0 && t.residence > 0 && (p.Mode == Closed || p.Mode == Open) {
		residual := t.residence/t.inSystem - 1
		residual = max(residual, -residual)
		r.LittleResidual = &residual
	}
	r.Thresholds = p.Thresholds
	r.judge(p.Thresholds, t)
	if p.Mode == Connect {
		r.warnOfConnects()
	}
	return r
}

// Bounds beyond which connecting is slow or unreliable, as is often advised.
const (
	slowCycle   = 100 * time.Millisecond
	fewSucceed  = 0.95
	slowConnect = 1000 // cycles a second
)

func (r *Result) warnOfConnects() {
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if r.Latency != nil && r.Latency.Mean != nil && *r.Latency.Mean > float64(slowCycle) {
		warn("a cycle takes %v on average, more than %v", time.Duration(*r.Latency.Mean).Round(time.Millisecond), slowCycle)
	}
	if r.Success < fewSucceed {
		warn("%.1f %% of the cycles succeeded, fewer than %.0f %%", 100*r.Success, 100*fewSucceed)
	}
	if r.Rate < slowConnect {
		warn("%.0f cycles a second, fewer than %d", r.Rate, slowConnect)
	}
}

// generatorCPUs is the number of CPUs that the generator may use: its set, or
// else one for each of its threads, as far as there are so many.
func generatorCPUs(p *Plan, c circumstances) int {
	if len(p.CPUs) > 0 {
		return c.genCPUs
	}
	threads := max(1, c.processes)
	if p.Engine == Portable {
		threads *= runtime.GOMAXPROCS(0)
	}
	return min(threads, runtime.NumCPU())
}
