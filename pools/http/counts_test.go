package httppool_test

import (
	"context"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	httppool "netbench/pools/http"
)

// local is a server in this process, for counts that do not depend on load.
func local(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(routes())
	t.Cleanup(s.Close)
	return s.URL
}

// recommended is a client that is closed when the test ends.
func recommended(t *testing.T, change ...func(*httppool.Settings)) *httppool.Client {
	t.Helper()
	s := httppool.Recommended()
	for _, c := range change {
		c(&s)
	}
	c, err := httppool.New(s)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func get(t *testing.T, c *httppool.Client, url string) error {
	t.Helper()
	_, err := c.Get(t.Context(), url)
	return err
}

// hold makes n requests at once that each have a connection of their own, and
// returns when all have; end lets them go.
func hold(t *testing.T, c *httppool.Client, base string, n int) (end func()) {
	t.Helper()
	before := c.Stats()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range n {
		all.Go(func() { _, _ = c.Get(ctx, base+"/stream") })
	}
	require.Eventually(t, func() bool { s := c.Stats(); return s.Got-before.Got == int64(n) }, 10*time.Second, time.Millisecond)
	return func() { cancel(); all.Wait() }
}

func TestReuseIsCountedByConnection(t *testing.T) {
	base, c := local(t), recommended(t)
	_, ok := new(httppool.Stats).ReuseShare()
	assert.False(t, ok, "nothing has no share")
	for range 10 {
		require.NoError(t, get(t, c, base+"/plaintext"))
	}
	s := c.Stats()
	assert.Equal(t, int64(10), s.Requests)
	assert.Equal(t, int64(1), s.Dials)
	assert.Equal(t, int64(9), s.Reused)
	share, ok := s.ReuseShare()
	assert.True(t, ok)
	assert.InDelta(t, 0.9, share, 1e-9)
	per, ok := s.Per1000(s.Dials)
	assert.True(t, ok)
	assert.InDelta(t, 100, per, 1e-9)
	assert.Equal(t, int64(1), s.Waits, "the first one found none ready")
	assert.Zero(t, s.Queued)
	assert.Equal(t, int64(10), s.Wait.Count())
	assert.Equal(t, int64(9), s.Rest.Count())
	assert.Equal(t, []int{1, 0, 1}, []int{s.Open, s.InUse, s.Idle})
	assert.Zero(t, s.Failed)
	assert.Zero(t, s.Handshakes)
}

func TestConnectionsInUseAreThoseOfRepliesNotYetRead(t *testing.T) {
	base, c := local(t), recommended(t)
	end := hold(t, c, base, 3)
	s := c.Stats()
	assert.Equal(t, []int{3, 3, 0}, []int{s.Open, s.InUse, s.Idle})
	require.Len(t, s.Hosts, 1)
	assert.Equal(t, strings.TrimPrefix(base, "http://"), s.Hosts[0].Addr)
	later := c.Stats()
	assert.Greater(t, later.Hosts[0].Busy, s.Hosts[0].Busy, "they are busy all the time")
	assert.Equal(t, pools.Stats{Max: 50, Open: 3, InUse: 3, Dials: 3, Waits: 3, Waited: s.Waited}, s.Pool())
	end()
	require.Eventually(t, func() bool { s := c.Stats(); return s.Open == 0 }, 10*time.Second, time.Millisecond)
	s = c.Stats()
	assert.Zero(t, s.InUse)
	assert.Equal(t, int64(3), s.Requests)
	assert.Equal(t, int64(3), s.Failed, "their bodies broke off")
	last := c.Stats()
	assert.Equal(t, s.Hosts[0].Busy, last.Hosts[0].Busy)
}

func TestRequestsBeyondTheMaximumAreCountedAsWaits(t *testing.T) {
	base := local(t)
	c := recommended(t, func(s *httppool.Settings) { s.MaxConnsPerHost, s.MaxIdleConnsPerHost = 1, 1 })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { assert.NoError(t, get(t, c, base+"/wait/20ms")) })
	}
	all.Wait()
	s := c.Stats()
	assert.Equal(t, int64(1), s.Dials)
	assert.Equal(t, int64(4), s.Waits)
	assert.Equal(t, int64(3), s.Queued)
	assert.GreaterOrEqual(t, s.Waited, 110*time.Millisecond, "20 + 40 + 60 ms, less what a clock may be off")
	assert.Equal(t, 1, s.Idle)

	// And one that gives up.
	end := hold(t, c, base, 1)
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Get(ctx, base+"/plaintext")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	now := c.Stats()
	assert.Equal(t, int64(1), now.Timeouts)
	assert.Equal(t, int64(5), now.Waits, "the one that gave up; the holder found one idle")
	assert.Equal(t, int64(1), now.Failed)
}

func TestBodiesOfFailingRepliesAreDrainedAndServerErrorsAreFailures(t *testing.T) {
	base, c := local(t), recommended(t)
	var status *httppool.StatusError
	for range 5 {
		err := get(t, c, base+"/status/503")
		require.ErrorAs(t, err, &status)
		assert.Equal(t, 503, status.Status)
		assert.ErrorContains(t, err, "the server replied 503 Service Unavailable")
	}
	s := c.Stats()
	assert.Equal(t, []int64{5, 5, 5}, []int64{s.Requests, s.Failed, s.ServerErrors})
	assert.Equal(t, int64(1), s.Dials, "all on one connection")

	require.ErrorAs(t, get(t, c, base+"/status/404"), &status)
	s = c.Stats()
	assert.Equal(t, int64(5), s.Failed, "a client's mistake is no failure of the pool's")
	assert.Equal(t, int64(1), s.Dials)
}

func TestBodiesThatACallerClosesUnreadAreDrained(t *testing.T) {
	base, c := local(t), recommended(t)
	closeUnread := func(path string) {
		t.Helper()
		res, err := c.HTTP().Get(base + path)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.NoError(t, res.Body.Close(), "again")
	}
	for _, path := range []string{"/bytes/100", "/bytes/200000", "/status/500", "/bytes/0"} {
		closeUnread(path)
	}
	s := c.Stats()
	assert.Equal(t, int64(1), s.Dials)
	assert.Equal(t, int64(4), s.Requests)
	assert.Zero(t, s.Undrained)

	began := time.Now()
	closeUnread("/bytes/10000000")
	closeUnread("/stream")
	assert.Less(t, time.Since(began), 20*time.Second, "an end comes to what has none")
	s = c.Stats()
	assert.Equal(t, int64(2), s.Undrained)
	assert.Equal(t, int64(2), s.Dials)
	assert.Equal(t, int64(6), s.Requests)
	assert.Equal(t, int64(1), s.Failed, "the server's error; who closes unread wanted no more")
}

func TestABodyThatBreaksOffIsAFailure(t *testing.T) {
	base, c := local(t), recommended(t)
	err := get(t, c, base+"/broken")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	s := c.Stats()
	assert.Equal(t, []int64{1, 1, 0}, []int64{s.Requests, s.Failed, s.ServerErrors})
	require.Eventually(t, func() bool { s := c.Stats(); return s.Open == 0 }, 10*time.Second, time.Millisecond)
}

func TestConnectionsThatAreNotKeptAreCounted(t *testing.T) {
	base := local(t)
	c := recommended(t, func(s *httppool.Settings) { s.MaxIdleConnsPerHost, s.MaxConnsPerHost = 2, 0 })
	release := make(chan struct{})
	var all, at sync.WaitGroup
	at.Add(5)
	for range 5 {
		all.Go(func() {
			res, err := c.HTTP().Get(base + "/plaintext")
			if !assert.NoError(t, err) {
				return
			}
			at.Done()
			<-release
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		})
	}
	at.Wait()
	close(release)
	all.Wait()
	s := c.Stats()
	assert.Equal(t, int64(5), s.Dials)
	require.Eventually(t, func() bool { s := c.Stats(); return s.Discarded == 3 && s.Open == 2 && s.Idle == 2 }, 10*time.Second, time.Millisecond)
}

func TestRequestsAfterCloseFailAndThoseUnderWayEnd(t *testing.T) {
	base, c := local(t), recommended(t)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), base+"/stream")
		ended <- err
	}()
	require.Eventually(t, func() bool { s := c.Stats(); return s.InUse == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	assert.Error(t, <-ended)
	assert.ErrorContains(t, get(t, c, base+"/plaintext"), "the client was closed")
	s := c.Stats()
	assert.Zero(t, s.Open)
	res, err := c.HTTP().Post(base+"/plaintext", "text/plain", strings.NewReader("x"))
	if err == nil {
		_ = res.Body.Close()
	}
	assert.ErrorContains(t, err, "the client was closed")
}

func TestRedirectsCountOnceForEachRoundTrip(t *testing.T) {
	s := httptest.NewServer(nethttp.RedirectHandler("/again", nethttp.StatusFound))
	defer s.Close()
	c := recommended(t)
	err := get(t, c, s.URL+"/first")
	assert.ErrorContains(t, err, "stopped after 10 redirects")
	n := c.Stats()
	assert.Equal(t, int64(10), n.Requests)
	assert.Equal(t, int64(1), n.Dials)
}
