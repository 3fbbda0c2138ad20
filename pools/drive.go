package pools

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/internal/cpu"
	"netbench/load"
)

// Load says how a pool is driven: in a closed loop by Workers goroutines that
// each wait for their answer before they ask again, or, with a Rate, in an
// open one, whose callers come when they come. Trouble shows in its full size
// only in the open one: callers in a closed loop stop asking when it gets
// slow.
type Load struct {
	Workers int           // closed loop: goroutines; open loop: the most calls under way at once
	Rate    float64       // calls a second, Poisson arrivals; 0: closed loop
	For     time.Duration // how long calls are begun; those under way then are waited for
	Calls   int64         // closed loop: no more than these are begun, though time be left; 0: any number
	Timeout time.Duration // of one call; 0: none
	Seed    uint64        // of the arrivals
}

// Outcome is what came of a Load. Latencies count from when a call was due: in
// the open loop, the time that it waited to be begun is in them.
type Outcome struct {
	Done    int64         // calls that succeeded
	Failed  int64         // calls that returned an error, time-outs among them
	Late    int64         // of Failed: those that ran into their time-out
	Dropped int64         // open loop: calls never begun, as Workers calls were under way
	Elapsed time.Duration // from the first call's beginning to the last one's end
	CPU     time.Duration // of this whole process meanwhile: the pool, its callers and what drives them

	Latency *hdrhistogram.Histogram // of calls that succeeded, ns
	First   error                   // first failure that was no time-out, else the first one
}

// Rate is successful calls a second.
func (o *Outcome) Rate() float64 { return float64(o.Done) / o.Elapsed.Seconds() }

// CPUPerOp is the CPU time of this process by successful call, in ns.
func (o *Outcome) CPUPerOp() float64 { return float64(o.CPU) / float64(o.Done) }

// P is the q-th percentile of the latency, q from 0 to 100.
func (o *Outcome) P(q float64) time.Duration {
	return time.Duration(o.Latency.ValueAtPercentile(q))
}

// Drive puts the load on do, and returns when the last call has ended. It
// fails only for a Load that makes no sense; what the calls meet is in the
// Outcome. When ctx ends, no more calls begin.
func Drive(ctx context.Context, l Load, do func(context.Context) error) (*Outcome, error) {
	switch {
	case l.Workers < 1:
		return nil, fmt.Errorf("drive a pool with %d workers: at least 1 is needed", l.Workers)
	case l.For <= 0:
		return nil, fmt.Errorf("drive a pool for %v: a time above 0 is needed", l.For)
	case l.Rate < 0 || l.Timeout < 0 || l.Calls < 0:
		return nil, fmt.Errorf("drive a pool at rate %v with time-out %v and %d calls: none may be below 0", l.Rate, l.Timeout, l.Calls)
	case l.Rate > 0 && l.Calls > 0:
		return nil, errors.New("drive a pool at a rate and for a number of calls: an open loop is bounded by time only")
	}
	d := &driving{Load: l, do: do, shards: make([]shard, min(l.Workers, 2*runtime.GOMAXPROCS(0)))}
	for i := range d.shards {
		d.shards[i].Latency = newHistogram()
	}
	d.began = time.Now()
	cpuBefore := cpu.Used()
	var dropped int64
	if l.Rate > 0 {
		dropped = d.open(ctx)
	} else {
		d.closed(ctx)
	}
	elapsed, used := time.Since(d.began), cpu.Used()-cpuBefore
	o := &d.shards[0].Outcome
	for i := range d.shards[1:] {
		o.add(&d.shards[1+i].Outcome)
	}
	o.Dropped, o.Elapsed, o.CPU = dropped, elapsed, used
	return o, nil
}

// driving is a Drive under way.
type driving struct {
	Load
	do    func(context.Context) error
	began time.Time

	shards []shard
}

// shard is where some of the workers count. One for each worker would be so much
// memory to clear and to merge that it showed in what short slices cost; with a few
// for each processor, hardly anybody ever waits for the lock.
type shard struct {
	mu sync.Mutex
	Outcome
	_ [64]byte // so that neighbours do not share a line of the cache
}

// newHistogram records nanoseconds up to ten minutes with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Minute), 3)
}

// closed runs one goroutine for each worker.
func (d *driving) closed(ctx context.Context) {
	var workers sync.WaitGroup
	var begun atomic.Int64
	for i := range d.Workers {
		workers.Go(func() {
			for time.Since(d.began) < d.For && ctx.Err() == nil && (d.Calls == 0 || begun.Add(1) <= d.Calls) {
				d.call(ctx, time.Now(), i)
			}
		})
	}
	workers.Wait()
}

// open keeps Workers goroutines and hands each call that is due to one of them.
func (d *driving) open(ctx context.Context) (dropped int64) {
	arrivals := load.NewArrivals(load.Poisson, d.Rate, 0, 1, d.Seed)
	due := make(chan time.Time, d.Workers)
	var under atomic.Int64
	var workers sync.WaitGroup
	for i := range d.Workers {
		workers.Go(func() {
			for at := range due {
				d.call(ctx, at, i)
				under.Add(-1)
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for at := arrivals.Next(); at < d.For; at = arrivals.Next() {
		if wait := at - time.Since(d.began); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		if under.Load() >= int64(d.Workers) {
			dropped++
			continue
		}
		under.Add(1)
		due <- d.began.Add(at)
	}
	close(due)
	workers.Wait()
	return dropped
}

// call makes one call that was due at a time, by one of the workers.
func (d *driving) call(ctx context.Context, due time.Time, worker int) {
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, due.Add(d.Timeout))
		defer cancel()
	}
	err := d.do(ctx)
	took := time.Since(due)
	o := &d.shards[worker%len(d.shards)]
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.Done++
		// A call of more than ten minutes is counted as one of ten.
		_ = o.Latency.RecordValue(min(int64(took), o.Latency.HighestTrackableValue()))
		return
	}
	o.Failed++
	late := isTimeout(err)
	if late {
		o.Late++
	}
	if o.First == nil || !late && isTimeout(o.First) {
		o.First = err
	}
}

// isTimeout tells whether err says that time ran out: a deadline of ours, or a
// driver's own error for it.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// add adds the calls of p, all that a driving counts by itself.
func (o *Outcome) add(p *Outcome) {
	o.Done += p.Done
	o.Failed += p.Failed
	o.Late += p.Late
	if o.First == nil || p.First != nil && isTimeout(o.First) && !isTimeout(p.First) {
		o.First = p.First
	}
	if dropped := o.Latency.Merge(p.Latency); dropped != 0 {
		panic(fmt.Sprintf("pools: %d latencies do not fit into a histogram of the same range", dropped))
	}
}

// plus adds all of p, which was driven at another time.
func (o *Outcome) plus(p *Outcome) {
	o.add(p)
	o.Dropped += p.Dropped
	o.Elapsed += p.Elapsed
	o.CPU += p.CPU
}

// Merge is one outcome of several of the same contender, which stay as they are.
// Its percentiles are those of all calls: a mean of percentiles is none of anything.
func Merge(rounds []*Outcome) *Outcome {
	all := &Outcome{Latency: newHistogram()}
	for _, o := range rounds {
		all.plus(o)
	}
	return all
}

// A Contender is one way to do the same thing.
type Contender struct {
	Name string
	Do   func(context.Context) error
}

// Interleave drives the contenders in turn, in rounds of slices of l.For each,
// in an order that is shuffled anew for each round, so that the machine's drift
// meets them all alike. It returns one Outcome for each round and contender,
// out[c][r]. It ends early, with ctx's error, when ctx ends.
func Interleave(ctx context.Context, rounds, slices int, l Load, contenders ...Contender) ([][]*Outcome, error) {
	if rounds < 1 || slices < 1 || len(contenders) < 2 {
		return nil, fmt.Errorf("interleave %d contenders in %d rounds of %d slices: at least 2, 1 and 1 are needed", len(contenders), rounds, slices)
	}
	out := make([][]*Outcome, len(contenders))
	random := rand.New(rand.NewPCG(l.Seed, 2))
	for range rounds {
		sums := make([]*Outcome, len(contenders))
		for c := range sums {
			sums[c] = Merge(nil)
		}
		for range slices {
			for _, c := range random.Perm(len(contenders)) {
				o, err := Drive(ctx, l, contenders[c].Do)
				if err != nil {
					return nil, err
				}
				if ctx.Err() != nil {
					return out, context.Cause(ctx)
				}
				sums[c].plus(o)
				l.Seed++
			}
		}
		for c := range contenders {
			out[c] = append(out[c], sums[c])
		}
	}
	return out, nil
}

// RatioOf compares b with a by a metric, round by round; both are as Interleave
// returns them.
func RatioOf(metric func(*Outcome) float64, a, b []*Outcome) load.Ratio {
	values := func(os []*Outcome) (v []float64) {
		for _, o := range os {
			v = append(v, metric(o))
		}
		return v
	}
	return load.RatioOf(values(a), values(b))
}
