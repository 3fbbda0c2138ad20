package load

import (
	"fmt"
	"time"
)

// judge fills in Limit, Valid and Reasons. See the package comment and
// [Thresholds] for the rules.
func (r *Result) judge(th Thresholds, t *tally) {
	r.Valid = Valid{Rate: true, Latency: true, CPU: r.ServerPerOp != nil, Counts: true}
	because := func(format string, args ...any) { r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...)) }

	generatorBusy := r.GeneratorCPU >= th.BusyCPU
	serverBusy := false
	if r.ServerCPU != nil {
		serverBusy = *r.ServerCPU >= th.BusyCPU
	} else if (r.Mode == Closed || r.Mode == Stream) && !generatorBusy {
		serverBusy, r.LimitInferred = true, true
	}
	if r.Mode == Open && r.GeneratorCPU > th.GeneratorCPU {
		generatorBusy = true
		r.Valid.Latency = false
		because("latency: the generator used %.0f %% of its CPUs, above %.0f %% (lower the rate, or give it more CPUs)", 100*r.GeneratorCPU, 100*th.GeneratorCPU)
	}
	if what, lag, known := r.lateness(); known {
		bound := th.SendLag
		if r.Latency != nil && r.Latency.P50 != nil {
			bound = max(bound, time.Duration(th.SendLagShare*float64(*r.Latency.P50)))
		}
		if lag > bound {
			generatorBusy = true
			r.Valid.Latency = false
			because("latency: the generator sent late, %s %v, above %v", what, lag, bound)
		}
	}
	switch {
	case generatorBusy && serverBusy:
		r.Limit = LimitBoth
	case generatorBusy:
		r.Limit = LimitGenerator
	case serverBusy:
		r.Limit = LimitServer
	default:
		r.Limit = LimitNeither
	}
	// Poisson arrivals are not exactly as many as the rate says, so what counts is
	// how many were due.
	if r.Mode == Open && float64(t.completed) < 0.99*float64(t.offered) {
		switch r.Limit {
		case LimitGenerator:
			r.Valid.Rate = false
			because("rate: of %d requests that were due, %d succeeded in time, and the generator was the limit", t.offered, t.completed)
		case LimitNeither:
			r.Limit = LimitServer
		}
	}
	if r.Mode != Open && generatorBusy {
		if r.Limit == LimitGenerator {
			r.Valid.Rate = false
			because("rate: the generator was the limit (%.0f %% of its CPUs busy)", 100*r.GeneratorCPU)
		}
		r.Valid.Latency = false
		because("latency: the generator was at its limit (%.0f %% of its CPUs busy), so replies waited in it", 100*r.GeneratorCPU)
	}
	if r.LittleResidual != nil && *r.LittleResidual > th.LittleResidual {
		r.Valid.Rate, r.Valid.Latency = false, false
		because("rate, latency: Little's law is off by %.1f %%, above %.1f %% (the run is short against its latencies, or requests are missing)", 100**r.LittleResidual, 100*th.LittleResidual)
	}
	if r.Steal != nil && *r.Steal > th.Steal {
		r.Valid.Rate, r.Valid.Latency, r.Valid.CPU = false, false, false
		because("rate, latency, cpu: the host took %.1f %% of the CPU time away, above %.1f %%", 100**r.Steal, 100*th.Steal)
	}
	switch {
	case t.recordErrors > 0:
		r.Valid = Valid{}
		because("all: %d values did not fit their histogram", t.recordErrors)
	case r.Requests == 0:
		r.Valid = Valid{}
		because("all: no request succeeded%s", suffix(r.FirstError))
	case t.errors[MismatchError] > 0:
		r.Valid = Valid{}
		because("all: bytes were wrong on %d requests", t.errors[MismatchError])
	case t.lost > 0:
		r.Valid = Valid{}
		because("all: %d connections were lost%s", t.lost, suffix(r.FirstError))
	case t.errors.Total() > 0:
		// Failing may be cheaper or dearer than succeeding.
		r.Valid.Rate, r.Valid.Latency, r.Valid.CPU = false, false, false
		because("rate, latency, cpu: %d requests failed%s", t.errors.Total(), suffix(r.FirstError))
	}
	if r.Interrupted {
		because("the run was interrupted after %.1f s", r.Duration)
	}
}

// lateness is the p99 of the send lag, or its maximum where there are too few
// samples for that; known is false in modes that have no due times.
func (r *Result) lateness() (what string, lag time.Duration, known bool) {
	switch {
	case r.SendLag == nil || r.SendLag.Max == nil && r.SendLag.P99 == nil:
		return "", 0, false
	case r.SendLag.P99 != nil:
		return "p99", time.Duration(*r.SendLag.P99), true
	}
	return "at most", time.Duration(*r.SendLag.Max), true
}

func suffix(first string) string {
	if first == "" {
		return ""
	}
	return " (first: " + first + ")"
}
