package httppool_test

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/pools"
	httppool "netbench/pools/http"
)

// watchEvery is hundreds of times as often as a service would sample, so that the
// monitor really works in slices of a fraction of a second.
const watchEvery = 50 * time.Millisecond

// steady are the recommended settings, but that all connections may be idle between
// two slices: to dial anew in each would blur the rest.
func steady(to target) httppool.Settings {
	s := httppool.Recommended()
	s.TLS, s.HTTP2 = to.trust, false
	s.MaxIdleConnsPerHost = s.MaxConnsPerHost
	return s
}

// counted is a client of steady settings.
func counted(t testing.TB, to target) *httppool.Client {
	t.Helper()
	c, err := httppool.New(steady(to))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
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

// countingCost is the client's CPU time by request with counts over that of a plain
// transport of the same settings.
func countingCost(t testing.TB, to target, rounds, slices int, slice time.Duration) load.Ratio {
	t.Helper()
	transport, err := steady(to).Transport()
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	plain := requests(&nethttp.Client{Transport: transport, Timeout: steady(to).Timeout}, to.url)
	with := requests(counted(t, to).HTTP(), to.url)
	l := pools.Load{Workers: atOnce, For: slice, Seed: 1}
	for _, do := range []func(context.Context) error{plain, with} { // connections are dialled
		_, err := pools.Drive(t.Context(), l, do)
		require.NoError(t, err)
	}
	out, err := pools.Interleave(t.Context(), rounds, slices, l, pools.Contender{Name: "plain", Do: plain}, pools.Contender{Name: "counted", Do: with})
	require.NoError(t, err)
	for _, arm := range out {
		for _, o := range arm {
			require.NoError(t, o.First)
		}
	}
	return pools.RatioOf((*pools.Outcome).CPUPerOp, out[0], out[1])
}

// monitorCost is what watching a counted client costs.
func monitorCost(t testing.TB, to target, rounds, pairs int, slice time.Duration) pools.Cost {
	t.Helper()
	c := counted(t, to)
	taken := 0
	cost, err := pools.CostOf(t.Context(), rounds, pairs, pools.Load{Workers: atOnce, For: slice}, requests(c.HTTP(), to.url), func() (func(), error) {
		m, err := c.Watch(t.Context(), watchEvery, httppool.RecommendedLimits(), func(pools.Alert) {})
		return func() {
			m.Stop()
			_, n := m.Last()
			taken += n
		}, err
	})
	require.NoError(t, err)
	// One sample at the begin of each slice would be no watching.
	assert.Greater(t, 2*taken, 3*rounds*pairs, "the monitor hardly sampled")
	return cost
}
