package httppool_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/pools"
	httppool "netbench/pools/http"
)

// costed is a way to make a request, with what is switched on while it is driven:
// a monitor that ran on would be in the other's slices as well.
type costed struct {
	name  string
	begin func() (end func())
	do    func(context.Context) error
}

// watchEvery is thirty times as often as a service would sample; with the sample at
// the begin of each slice it is hundreds of times.
const watchEvery = time.Second

// watched are one client of the recommended settings three times: as net/http has
// it, counted, and counted and watched.
func watched(t testing.TB, to target) []costed {
	t.Helper()
	s := httppool.Recommended()
	s.TLS, s.HTTP2 = to.trust, false
	// All are idle between two slices; to dial anew in each would blur the rest.
	s.MaxIdleConnsPerHost = s.MaxConnsPerHost
	transport, err := s.Transport()
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	plain := nethttp.Client{Transport: transport, Timeout: s.Timeout}
	all := []costed{{"plain", func() func() { return func() {} }, requests(&plain, to.url)}}
	for _, name := range []string{"counted", "watched"} {
		c, err := httppool.New(s)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		begin := func() func() { return func() {} }
		if name == "watched" {
			begin = func() func() {
				m, err := c.Watch(t.Context(), watchEvery, httppool.RecommendedLimits(), func(pools.Alert) {})
				require.NoError(t, err)
				return m.Stop
			}
		}
		all = append(all, costed{name, begin, requests(c.HTTP(), to.url)})
	}
	return all
}

// requests makes requests in the same way with any client.
func requests(c *nethttp.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if e := res.Body.Close(); err == nil {
			err = e
		}
		if err == nil && res.StatusCode != nethttp.StatusOK {
			err = fmt.Errorf("the server replied %d", res.StatusCode)
		}
		return err
	}
}

// lean adds what a slice did to an outcome. It is a pools.Drive without histograms
// of latency: to make a hundred of them costs as much as thousands of requests.
func lean(ctx context.Context, slice time.Duration, do func(context.Context) error, sum *pools.Outcome) error {
	var workers sync.WaitGroup
	var done atomic.Int64
	var failed atomic.Pointer[error]
	began, before := time.Now(), cpu.Used()
	for range atOnce {
		workers.Go(func() {
			for time.Since(began) < slice && failed.Load() == nil {
				if err := do(ctx); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	sum.Done += done.Load()
	sum.CPU += cpu.Used() - before
	sum.Elapsed += time.Since(began)
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// inTurn drives them as pools.Interleave does, with what is switched on for a slice
// switched off after it. Only counts, CPU and elapsed time are in its outcomes.
func inTurn(t testing.TB, rounds, slices int, slice time.Duration, all []costed) [][]*pools.Outcome {
	t.Helper()
	out := make([][]*pools.Outcome, len(all))
	random := rand.New(rand.NewPCG(1, uint64(rounds)))
	for round := range rounds + 1 {
		sums := make([]pools.Outcome, len(all))
		for range slices {
			for _, i := range random.Perm(len(all)) {
				end := all[i].begin()
				err := lean(t.Context(), slice, all[i].do, &sums[i])
				end()
				require.NoError(t, err, all[i].name)
			}
		}
		if round == 0 {
			continue // connections were dialled
		}
		for i := range all {
			out[i] = append(out[i], &sums[i])
		}
	}
	return out
}

// join appends rounds to those there are.
func join(all, more [][]*pools.Outcome) [][]*pools.Outcome {
	if all == nil {
		return more
	}
	for i := range all {
		all[i] = append(all[i], more[i]...)
	}
	return all
}

// cost is a comparison of two of them by client CPU time for each request.
type cost struct {
	name, about string
	load.Ratio
}

// costs compares what inTurn did with what watched returned.
func costs(out [][]*pools.Outcome) []cost {
	perOp := (*pools.Outcome).CPUPerOp
	return []cost{
		{"counting", "counted / plain transport", pools.RatioOf(perOp, out[0], out[1])},
		{"monitor", "monitor on / off", pools.RatioOf(perOp, out[1], out[2])},
	}
}
