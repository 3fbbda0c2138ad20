package reuseport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"netbench/models"
	"netbench/testenv"
)

// Distribution is how many connections each listener was given.
type Distribution []uint64

// Mean is the mean number of connections, 0 without listeners.
func (d Distribution) Mean() float64 {
	if len(d) == 0 {
		return 0
	}
	var sum float64
	for _, n := range d {
		sum += float64(n)
	}
	return sum / float64(len(d))
}

// MaxOverMean is the share of the listener that has most, 1 if all have the same.
// Where listeners are what limits a server, it reaches 1/MaxOverMean of what it
// could do with an even spread. NaN without connections.
func (d Distribution) MaxOverMean() float64 {
	most := 0.0
	for _, n := range d {
		most = max(most, float64(n))
	}
	return most / d.Mean()
}

// MinOverMean is the share of the listener that has least. NaN without
// connections.
func (d Distribution) MinOverMean() float64 {
	least := math.Inf(1)
	for _, n := range d {
		least = min(least, float64(n))
	}
	return least / d.Mean()
}

// squares is the sum of the squared distances from the mean.
func (d Distribution) squares() (sum float64) {
	mean := d.Mean()
	for _, n := range d {
		sum += (float64(n) - mean) * (float64(n) - mean)
	}
	return sum
}

// Variation is the coefficient of variation: the standard deviation of these
// listeners, which are all there are, over their mean. Of n connections that
// choose among k listeners at random it is about sqrt((k-1)/n). NaN without
// connections.
func (d Distribution) Variation() float64 {
	return math.Sqrt(d.squares()/float64(len(d))) / d.Mean()
}

// ChiSquare is Pearson's statistic against the hypothesis that a connection goes
// to each listener with the same probability. Where that is so, it is k-1 on
// average with k listeners, and exceeds 3.8, 7.8 and 14.1 with 2, 4 and 8 of them
// one time in twenty. NaN without connections.
func (d Distribution) ChiSquare() float64 { return d.squares() / d.Mean() }

// dialers is the number of connections that Measure makes at a time: enough to
// keep the server busy, and no danger to a short backlog.
const dialers = 16

// Measure starts a server, opens conns connections to it from this process,
// all alive together, and returns where they landed. The server's limits on
// connections and idle time are lifted. The connections come from one address,
// with ports that the kernel chooses.
func Measure(ctx context.Context, spec testenv.ServerSpec, conns int) (_ Distribution, err error) {
	spec.Config.MaxConns, spec.Config.IdleTimeout = models.NoLimit, models.NoLimit
	s, err := testenv.StartServer(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Kill()) }()
	closeAll, err := open(ctx, s, conns)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	for {
		snap, err := s.Stats(ctx)
		if err != nil {
			return nil, err
		}
		if len(snap.PerListener) == 0 {
			return nil, fmt.Errorf("model %q does not tell its listeners apart", spec.Model)
		}
		if snap.Server.Accepted >= uint64(conns) {
			return snap.PerListener, nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d connections were accepted: %w", snap.Server.Accepted, conns, ctx.Err())
		}
	}
}

// open makes connections. It returns a function that closes all of them, by a
// reset: thousands of ports in TIME_WAIT would be in the way of what is measured
// next.
func open(ctx context.Context, s *testenv.Server, conns int) (closeAll func(), err error) {
	made := make([]net.Conn, conns)
	errs := make([]error, dialers)
	var dialing sync.WaitGroup
	for d := range dialers {
		dialing.Go(func() {
			var dialer net.Dialer
			dialer.SetMultipathTCP(false)
			for i := d; i < conns && errs[d] == nil; i += dialers {
				made[i], errs[d] = dialer.DialContext(ctx, s.Network(), s.Addr())
			}
		})
	}
	dialing.Wait()
	return func() {
		for _, nc := range made {
			if nc == nil {
				continue
			}
			if tcp, ok := nc.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = nc.Close()
		}
	}, errors.Join(errs...)
}
