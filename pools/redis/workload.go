package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	goredis "github.com/redis/go-redis/v9"

	"netbench/internal/cpu"
)

// Workload is a number of pairs, each a SET with an expiry and a GET of the same
// key, shared evenly by workers that each wait for their replies.
type Workload struct {
	Workers int           // goroutines, at least 1
	Pairs   int           // of all workers together, at least 1
	Bytes   int           // length of a value, 1 to 512 MiB
	Expiry  time.Duration // of a key, at least 1 ms

	// Depth is how many commands go in one round trip: 0 sends each alone,
	// 1 or more as a pipeline of Depth SETs, then one of Depth GETs. A
	// pipeline of 1 differs from 0 in the pool that it takes its connection
	// from.
	Depth int

	// Timeout bounds each round trip, the wait for a connection in it; 0: only
	// the settings of the pool do.
	Timeout time.Duration
}

// StandardWorkload is 100 workers with 1000 pairs each, of 64 bytes that expire
// after a minute, without pipelines.
func StandardWorkload() Workload {
	return Workload{Workers: 100, Pairs: 100_000, Bytes: 64, Expiry: time.Minute}
}

// Tally is what came of a Workload. Each command is in one of the counts, but for
// a GET whose SET failed, which is not sent.
type Tally struct {
	Sets, Gets int64 // that succeeded

	SetErrors int64 // SETs that failed
	GetErrors int64 // GETs that failed
	Missing   int64 // GETs of a key that was not there
	Wrong     int64 // GETs of another value than the one set

	PoolTimeouts int64 // of SetErrors and GetErrors: no connection within PoolTimeout
	First        error // of SetErrors and GetErrors

	Elapsed time.Duration
	CPU     time.Duration // of this whole process meanwhile

	// RoundTrips are the latencies of round trips in ns, from the request for a
	// connection to the last reply, of those of which no command failed.
	RoundTrips *hdrhistogram.Histogram
}

// Commands is how many succeeded.
func (t *Tally) Commands() int64 { return t.Sets + t.Gets }

// Failed is how many did not.
func (t *Tally) Failed() int64 { return t.SetErrors + t.GetErrors + t.Missing + t.Wrong }

// Rate is successful commands a second.
func (t *Tally) Rate() float64 { return float64(t.Commands()) / t.Elapsed.Seconds() }

// String is one line.
func (t *Tally) String() string {
	return fmt.Sprintf("%d SET and %d GET in %v (%.0f/s); failed: %d SET, %d GET (%d for want of a connection), %d missing, %d wrong",
		t.Sets, t.Gets, t.Elapsed.Round(time.Millisecond), t.Rate(), t.SetErrors, t.GetErrors, t.PoolTimeouts, t.Missing, t.Wrong)
}

func (w Workload) validate() error {
	switch {
	case w.Workers < 1 || w.Pairs < 1:
		return fmt.Errorf("run a workload on the redis pool: %d workers, %d pairs (want 1 or more)", w.Workers, w.Pairs)
	case w.Bytes < 1 || w.Bytes > 512<<20:
		return fmt.Errorf("run a workload on the redis pool: values of %d bytes (want 1 to %d)", w.Bytes, 512<<20)
	case w.Expiry < time.Millisecond || w.Depth < 0 || w.Timeout < 0:
		return fmt.Errorf("run a workload on the redis pool: expiry %v, depth %d, time-out %v (want 1ms or more, 0 or more, 0 or more)", w.Expiry, w.Depth, w.Timeout)
	}
	return nil
}

// runsAtOnce is how many workloads may run on one pool without sharing keys.
// Later ones use the same keys again, so that few are in the server.
const runsAtOnce = 4

// Run puts the workload on the pool; no more than four may be on it at once. It
// fails only for one that makes no sense; what its commands meet is in the Tally.
// When ctx ends, nothing more is sent.
func (p *Pool) Run(ctx context.Context, w Workload) (*Tally, error) {
	if err := w.validate(); err != nil {
		return nil, err
	}
	call := p.calls.Add(1)
	sum := newTally()
	var mu sync.Mutex
	var workers sync.WaitGroup
	began, cpuBefore := time.Now(), cpu.Used()
	for id := range w.Workers {
		pairs := w.Pairs / w.Workers
		if id < w.Pairs%w.Workers {
			pairs++
		}
		workers.Go(func() {
			k := worker{Workload: w, client: p.client, tally: newTally(),
				prefix: p.key + "w" + strconv.FormatUint(call%runsAtOnce, 10) + "." + strconv.Itoa(id) + ":",
				mark:   strconv.FormatUint(call, 36) + "." + strconv.Itoa(id) + "."}
			for first := 0; first < pairs && ctx.Err() == nil; {
				n := min(max(1, w.Depth), pairs-first)
				k.batch(ctx, first, n)
				first += n
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(k.tally)
		})
	}
	workers.Wait()
	sum.Elapsed, sum.CPU = time.Since(began), cpu.Used()-cpuBefore
	return sum, nil
}

// Pipelined is an operation that sets depth keys in one round trip and gets them
// in another; it fails if any command does or a value is not the one set. It goes
// with pools.Drive beside Do. depth is at least 1.
func (p *Pool) Pipelined(depth int) func(context.Context) error {
	return func(ctx context.Context) error {
		call := p.calls.Add(1)
		k := worker{Workload: Workload{Bytes: doBytes, Expiry: doExpiry, Depth: depth}, client: p.client,
			prefix: p.key + "p" + strconv.FormatUint(call%keys, 10) + ":", mark: strconv.FormatUint(call, 36), tally: &Tally{}}
		k.batch(ctx, 0, depth)
		switch t := k.tally; {
		case t.First != nil:
			return asTimeout(t.First)
		case t.Failed() > 0:
			return fmt.Errorf("GET: of %d values %d are missing and %d not the ones that were set", depth, t.Missing, t.Wrong)
		}
		return nil
	}
}

// worker is one goroutine of a workload.
type worker struct {
	Workload
	client *goredis.Client
	prefix string // of its keys
	mark   string // of its values, different in each run
	tally  *Tally
}

// key is the name of the worker's i-th key.
func (k *worker) key(i int) string { return k.prefix + strconv.Itoa(i) }

// value is what the worker's i-th key is set to: different for each, so that a
// mixed-up reply is found out, as far as Bytes is enough for it.
func (k *worker) value(i int) string {
	return padded(strconv.Itoa(i)+"."+k.mark, k.Bytes)
}

// padded is text made longer or cut to a number of bytes.
func padded(text string, bytes int) string {
	if len(text) < bytes {
		text += strings.Repeat("x", bytes-len(text))
	}
	return text[:bytes]
}

// batch does n pairs from the first on.
func (k *worker) batch(ctx context.Context, first, n int) {
	sets := make([]*goredis.StatusCmd, 0, n)
	k.roundTrip(ctx, func(ctx context.Context, c goredis.Cmdable) (last error) {
		for i := range n {
			set := c.Set(ctx, k.key(first+i), k.value(first+i), k.Expiry)
			sets, last = append(sets, set), set.Err()
		}
		return last
	})
	var there []int
	for i, c := range sets {
		if err := c.Err(); err != nil {
			k.tally.SetErrors++
			k.failed("SET", err)
			continue
		}
		k.tally.Sets++
		there = append(there, first+i)
	}
	if len(there) == 0 {
		return
	}
	gets := make([]*goredis.StringCmd, 0, len(there))
	k.roundTrip(ctx, func(ctx context.Context, c goredis.Cmdable) (last error) {
		for _, i := range there {
			get := c.Get(ctx, k.key(i))
			gets, last = append(gets, get), get.Err()
		}
		return last
	})
	for n, c := range gets {
		got, err := c.Result()
		switch {
		case errors.Is(err, goredis.Nil):
			k.tally.Missing++
		case err != nil:
			k.tally.GetErrors++
			k.failed("GET", err)
		case got != k.value(there[n]):
			k.tally.Wrong++
		default:
			k.tally.Gets++
		}
	}
}

// roundTrip sends what issue issues: one command alone, of which it returns the
// error, or a pipeline. What became of each is in the command.
func (k *worker) roundTrip(ctx context.Context, issue func(context.Context, goredis.Cmdable) error) {
	if k.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.Timeout)
		defer cancel()
	}
	began := time.Now()
	var err error
	if k.Depth == 0 {
		err = issue(ctx, k.client)
	} else {
		_, err = k.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			return issue(ctx, p) // nil, as nothing is sent yet
		})
	}
	if h := k.tally.RoundTrips; h != nil && (err == nil || errors.Is(err, goredis.Nil)) {
		// One of more than a minute is counted as one of a minute.
		_ = h.RecordValue(min(int64(time.Since(began)), h.HighestTrackableValue()))
	}
}

func (k *worker) failed(command string, err error) {
	if errors.Is(err, goredis.ErrPoolTimeout) {
		k.tally.PoolTimeouts++
	}
	if k.tally.First == nil {
		k.tally.First = fmt.Errorf("%s: %w", command, err)
	}
}

// newTally records nanoseconds up to a minute with three digits.
func newTally() *Tally { return &Tally{RoundTrips: hdrhistogram.New(1, int64(time.Minute), 3)} }

func (t *Tally) add(o *Tally) {
	t.Sets += o.Sets
	t.Gets += o.Gets
	t.SetErrors += o.SetErrors
	t.GetErrors += o.GetErrors
	t.Missing += o.Missing
	t.Wrong += o.Wrong
	t.PoolTimeouts += o.PoolTimeouts
	if t.First == nil {
		t.First = o.First
	}
	t.RoundTrips.Merge(o.RoundTrips)
}
