package httppool_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	httppool "netbench/pools/http"
)

// assertPlain fails if an error, in whatever form it is printed, has more than one
// line or the credentials of a URL.
func assertPlain(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = unwrap(err) {
		for _, form := range []string{"%v", "%+v", "%#v", "%q"} {
			text := fmt.Sprintf(form, err)
			assert.NotContains(t, text, "\n")
			for _, secret := range []string{"joe", "s3cret", "t0ken"} {
				assert.NotContains(t, text, secret, "as %s", form)
			}
		}
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// refused is an address of this host where nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestARefusedConnectionIsOneLineWithoutCredentials(t *testing.T) {
	addr, c := refused(t), recommended(t)
	err := get(t, c, "http://joe:s3cret@"+addr+"/path?key=t0ken#t0ken")
	require.Error(t, err)
	assertPlain(t, err)
	assert.Regexp(t, `^GET http://`+addr+`/path: dial tcp .*refused.* \(nothing listens there: `, err.Error())
	s := c.Stats()
	assert.Equal(t, []int64{1, 1, 1, 0}, []int64{s.Requests, s.Failed, s.DialsFailed, s.Dials})
	assert.Zero(t, s.Open)
}

func TestAnUnreachableServerIsGivenUpInTime(t *testing.T) {
	// Whether a packet is lost on the way or the dialler never returns is the same
	// to the client, and needs no network that loses packets.
	silent := func(s *httppool.Settings) {
		s.DialTimeout = 50 * time.Millisecond
		s.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	c := recommended(t, silent)
	began := time.Now()
	err := get(t, c, "http://joe:s3cret@192.0.2.1/")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assertPlain(t, err)
	assert.ErrorContains(t, err, "GET http://192.0.2.1/: ")
	assert.ErrorContains(t, err, "allow it more time")
	assert.Less(t, time.Since(began), 10*time.Second)
	s := c.Stats()
	assert.Equal(t, []int64{1, 1, 1}, []int64{s.Timeouts, s.Failed, s.DialsFailed})

	// The whole request is bounded as well.
	base := local(t)
	c = recommended(t, func(s *httppool.Settings) { s.Timeout = 50 * time.Millisecond })
	err = get(t, c, base+"/wait/1h")
	var failed *httppool.Error
	require.ErrorAs(t, err, &failed)
	assert.True(t, failed.Timeout())
	assertPlain(t, err)
	s = c.Stats()
	assert.Zero(t, s.Timeouts, "it had a connection")
	assert.Equal(t, int64(1), s.Failed)
}

func TestRedirectsDoNotProlongARequest(t *testing.T) {
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		select {
		case <-time.After(60 * time.Millisecond):
			nethttp.Redirect(w, r, "/again", nethttp.StatusFound)
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	c := recommended(t, func(s *httppool.Settings) { s.Timeout = 150 * time.Millisecond })
	assert.ErrorIs(t, get(t, c, s.URL), context.DeadlineExceeded, "ten redirects would take 600 ms")
	assert.ErrorIs(t, get(t, c, local(t)+"/stream"), context.DeadlineExceeded, "the body belongs to it")
}

func TestDialsUnderWayEndWithTheClient(t *testing.T) {
	dialling := make(chan struct{})
	c := recommended(t, func(s *httppool.Settings) {
		s.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), "http://192.0.2.1/")
		ended <- err
	}()
	<-dialling
	require.NoError(t, c.Close())
	assert.ErrorIs(t, <-ended, context.Canceled)
}

func TestURLsThatMakeNoSenseAreNotShown(t *testing.T) {
	c := recommended(t)
	for raw, says := range map[string]string{
		"http://joe:s3cret@ho st/":    "does not parse",
		"http://joe:s3cret@host:port": "does not parse",
		"http://joe:s3cret@[::1/":     "does not parse",
		"%zz":                         "does not parse",
		"ftp://joe:s3cret@host/":      "neither of http nor of https",
		"joe:s3cret@host/":            "neither of http nor of https",
		"":                            "neither of http nor of https",
		"http://joe:s3cret@/":         "names no host",
		"https://:443/t0ken":          "names no host",
	} {
		err := get(t, c, raw)
		require.ErrorContains(t, err, says, raw)
		assertPlain(t, err)
		_, err = httppool.NewKind(raw, httppool.Recommended())
		require.ErrorContains(t, err, says, raw)
		assertPlain(t, err)
	}
	s := c.Stats()
	assert.Zero(t, s.Requests)
}

func TestCredentialsInARedirectAreNotShown(t *testing.T) {
	for _, location := range []string{
		"http://joe:s3cret@" + refused(t) + "/?t0ken",
		"http://joe:s3cret@[bad/",
		"gopher://joe:s3cret@host/",
	} {
		s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(nethttp.StatusFound)
		}))
		err := get(t, recommended(t), s.URL)
		s.Close()
		require.Error(t, err, location)
		assertPlain(t, err)
	}
}

func TestCredentialsReachTheServerAllTheSame(t *testing.T) {
	var user, password string
	s := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		user, password, _ = r.BasicAuth()
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	require.NoError(t, get(t, recommended(t), "http://joe:s3cret@"+u.Host+"/"))
	assert.Equal(t, []string{"joe", "s3cret"}, []string{user, password})
}

func TestACertificateThatIsNotTrustedIsOneLine(t *testing.T) {
	to := startTLS(t, nil, tlsSpec{})
	c := recommended(t)
	err := get(t, c, "https://joe:s3cret@"+to.base[len("https://"):]+"/")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
	assertPlain(t, err)
	assert.ErrorContains(t, err, "RootCAs")
	s := c.Stats()
	assert.Equal(t, []int64{0, 1, 1}, []int64{s.Handshakes, s.HandshakesFailed, s.Failed})
	require.Eventually(t, func() bool { s := c.Stats(); return s.Open == 0 }, 10*time.Second, time.Millisecond)

	err = get(t, c, "http"+to.base[len("https"):]+"/plaintext")
	var status *httppool.StatusError
	require.ErrorAs(t, err, &status, "a server of TLS answers a plain request")
	err = get(t, c, local(t)[len("http"):])
	require.Error(t, err)
}
