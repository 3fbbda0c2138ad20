package load

import (
	"cmp"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms record nanoseconds from 1 ns to 1 h with three significant digits.
const (
	histMax    = int64(time.Hour)
	histDigits = 3
)

func newHist() *hdrhistogram.Histogram { return hdrhistogram.New(1, histMax, histDigits) }

// series is a set of histograms that one thread records into.
type series struct {
	latency  *hdrhistogram.Histogram // from due to reply (closed loop: from send)
	service  *hdrhistogram.Histogram // from send to reply
	connWait *hdrhistogram.Histogram // from due to when a connection was free
	sendLag  *hdrhistogram.Histogram // from max(due, connection free) to send
	connect  *hdrhistogram.Histogram // from dialling to established

	recordErrors int64 // values that a histogram refused; must stay 0
}

// newSeries makes the histograms that a mode fills; the others are nil.
func newSeries(m Mode) series {
	var s series
	switch m {
	case Open:
		s.latency, s.service, s.connWait, s.sendLag = newHist(), newHist(), newHist(), newHist()
	case Connect:
		s.latency, s.service, s.connect = newHist(), newHist(), newHist()
	case Closed, Idle:
		s.service = newHist()
	}
	return s
}

func (s *series) all() [5]**hdrhistogram.Histogram {
	return [5]**hdrhistogram.Histogram{&s.latency, &s.service, &s.connWait, &s.sendLag, &s.connect}
}

func (s *series) reset() {
	for _, h := range s.all() {
		if *h != nil {
			(*h).Reset()
		}
	}
	s.recordErrors = 0
}

// record adds a duration in nanoseconds. A clock that steps back would make it
// negative; that is an error to report, never a value to invent.
func (s *series) record(h *hdrhistogram.Histogram, ns int64) {
	if h == nil {
		return
	}
	if h.RecordValue(ns) != nil {
		s.recordErrors++
	}
}

// merge adds o to s. It returns the number of values that did not fit, which is
// 0 unless a histogram is broken.
func (s *series) merge(o *series) (dropped int64) {
	dst, src := s.all(), o.all()
	for i := range dst {
		switch {
		case *src[i] == nil:
		case *dst[i] == nil:
			*dst[i] = hdrhistogram.Import((*src[i]).Export())
		default:
			dropped += (*dst[i]).Merge(*src[i])
		}
	}
	s.recordErrors += o.recordErrors
	return dropped
}

// tally is what one thread, one process, or a whole run counted in its window.
type tally struct {
	series

	elapsed   time.Duration // length of the window in which completed were counted
	completed int64         // requests (or cycles) that succeeded within the window
	drained   int64         // requests that succeeded after it, while the run drained
	bad       int64         // whole replies that report failure, at any time
	offered   int64         // requests begun, or due, in the window
	errors    ErrorCounts
	lost      int64 // connections that ended, or failed to be made, unasked
	alive     int64 // connections open at the end
	bytesIn   int64
	bytesOut  int64

	// inSystem is the integral over the window of the number of requests in
	// the system, in request-nanoseconds; residence is the sum of the times
	// that those which completed spent there. Little's law compares the two.
	inSystem, residence float64

	cpu     time.Duration // of the generator's whole process, in the window
	cpuWall time.Duration // wall time that cpu belongs to
	cpuAll  time.Duration // of the generator's whole process, window and drain
	took    time.Duration // wall time of window and drain
	first   string        // first failure, for the message
	broken  string        // why a part of the generator failed, "" if none did
}

// answered is the number of requests that were carried out in all. Costs belong
// to these: the ones that end after the window, or report failure, cost as well.
func (t *tally) answered() int64 { return t.completed + t.drained + t.bad }

// merge adds a tally that was taken at the same time by another thread or
// process.
func (t *tally) merge(o *tally) error {
	if dropped := t.series.merge(&o.series); dropped != 0 {
		return fmt.Errorf("%d values were dropped when histograms were merged", dropped)
	}
	t.elapsed = max(t.elapsed, o.elapsed)
	t.cpuWall = max(t.cpuWall, o.cpuWall)
	t.took = max(t.took, o.took)
	t.completed += o.completed
	t.drained += o.drained
	t.bad += o.bad
	t.offered += o.offered
	for k, v := range o.errors {
		t.errors[k] += v
	}
	t.lost += o.lost
	t.alive += o.alive
	t.bytesIn += o.bytesIn
	t.bytesOut += o.bytesOut
	t.inSystem += o.inSystem
	t.residence += o.residence
	t.cpu += o.cpu
	t.cpuAll += o.cpuAll
	t.first, t.broken = cmp.Or(t.first, o.first), cmp.Or(t.broken, o.broken)
	return nil
}

// extend adds a tally that was taken after this one.
func (t *tally) extend(o *tally) error {
	elapsed, wall, took := t.elapsed+o.elapsed, t.cpuWall+o.cpuWall, t.took+o.took
	err := t.merge(o)
	t.elapsed, t.cpuWall, t.took = elapsed, wall, took
	t.alive = o.alive
	return err
}

// blame adds the failures of a tally whose requests do not count.
func (t *tally) blame(o *tally) {
	t.lost += o.lost
	for k, n := range o.errors {
		t.errors[k] += n
	}
	t.first, t.broken = cmp.Or(t.first, o.first), cmp.Or(t.broken, o.broken)
}
