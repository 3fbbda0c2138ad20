package httppool_test

import (
	"context"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	httppool "netbench/pools/http"
)

// contender is a client and the operation that it is driven with.
type contender struct {
	name   string
	client *httppool.Client
	do     func(context.Context) error
}

// timeout is the whole-request time-out of all contenders.
const timeout = 30 * time.Second

// contenders are the recommended settings, the default transport, and three that
// are wrong, all before one server. Each is closed when the test ends.
func contenders(t testing.TB, to target) []contender {
	t.Helper()
	settings := func(change func(*httppool.Settings)) *httppool.Client {
		s := httppool.Recommended()
		s.TLS, s.Timeout, s.HTTP2 = to.trust, timeout, false
		change(&s)
		c, err := httppool.New(s)
		require.NoError(t, err)
		return c
	}
	plain := nethttp.DefaultTransport.(*nethttp.Transport).Clone()
	plain.TLSClientConfig = to.trust.Clone()
	byDefault, err := httppool.Around(plain, timeout)
	require.NoError(t, err)
	all := []contender{
		{name: "recommended", client: settings(func(*httppool.Settings) {})},
		{name: "default", client: byDefault},
		{name: "one-idle", client: settings(func(s *httppool.Settings) { s.MaxIdleConnsPerHost, s.MaxConnsPerHost = 1, 0 })},
		{name: "no-keep-alive", client: settings(func(s *httppool.Settings) { s.DisableKeepAlives = true })},
		{name: "unread", client: settings(func(*httppool.Settings) {})},
	}
	for i := range all {
		c := &all[i]
		t.Cleanup(func() { require.NoError(t, c.client.Close()) })
		c.do = func(ctx context.Context) error {
			_, err := c.client.Get(ctx, to.url)
			return err
		}
		if c.name == "unread" {
			c.do = func(ctx context.Context) error { return abandon(ctx, c.client, to.url) }
		}
	}
	return all
}

// abandon is what a careless caller does: it looks at the status and forgets the
// body, so that the connection is lost. It ends the request by its context, as the
// bodies of this package cannot be closed unread.
func abandon(ctx context.Context, c *httppool.Client, url string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	cancel()
	return res.Body.Close()
}
