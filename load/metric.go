package load

// Metric reads one number from a sample; ok is false where it is absent or
// invalid.
type Metric func(*Sample) (v float64, ok bool)

// ServerCPUPerOp is server CPU time for each request, ns.
func ServerCPUPerOp(s *Sample) (float64, bool) { return read(s.ServerPerOp, s.Valid.CPU) }

// GeneratorCPUPerOp is generator CPU time for each request, ns.
func GeneratorCPUPerOp(s *Sample) (float64, bool) {
	return s.GeneratorPerOp, s.GeneratorPerOp > 0 && s.Valid.Counts
}

// RequestRate is requests a second.
func RequestRate(s *Sample) (float64, bool) { return s.Rate, s.Valid.Rate }

// LatencyP50 and LatencyP99 are quantiles of latency, ns.
func LatencyP50(s *Sample) (float64, bool) { return quantile(s, s.Latency.p50()) }
func LatencyP99(s *Sample) (float64, bool) { return quantile(s, s.Latency.p99()) }

// SyscallsPerOp is system calls of the server for each request, SwitchesPerOp
// its context switches, AllocsPerOp its allocations on the heap.
func SyscallsPerOp(s *Sample) (float64, bool) { return read(s.SyscallsPerOp, s.Valid.Counts) }
func SwitchesPerOp(s *Sample) (float64, bool) { return read(s.SwitchesPerOp, s.Valid.Counts) }
func AllocsPerOp(s *Sample) (float64, bool)   { return read(s.AllocsPerOp, s.Valid.Counts) }

func read(v *float64, valid bool) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, valid
}

func quantile(s *Sample, v *int64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return float64(*v), s.Valid.Latency
}

func (q *Quantiles) p50() *int64 {
	if q == nil {
		return nil
	}
	return q.P50
}

func (q *Quantiles) p99() *int64 {
	if q == nil {
		return nil
	}
	return q.P99
}
