package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/models"
	"netbench/models/goroutine"
	"netbench/models/modeltest"
)

func TestMain(m *testing.M) {
	// Fasthttp writes the date in a goroutine that never ends, and a goroutine of a
	// pool that has stopped notices after 10 s.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// rows are both forms of fasthttp.
var rows = map[string]models.Factory{"fasthttp": newServer(false), "fasthttp-recommended": newServer(true)}

// start serves until the test ends.
func start(t *testing.T, factory models.Factory, cfg models.Config) models.Server {
	t.Helper()
	if cfg.Service == nil {
		cfg.Service = models.HTTP{}
	}
	s, err := factory(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
		assert.Zero(t, s.Stats().Active)
	})
	return s
}

func dial(t *testing.T, s models.Server) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// ask sends a request and reads the whole response.
func ask(t *testing.T, c net.Conn, request string) (*http.Response, string) {
	t.Helper()
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return r, string(body)
}

func TestRepliesAreThoseOfTheHTTPService(t *testing.T) {
	ours := start(t, goroutine.New, models.Config{})
	for name, factory := range rows {
		theirs := start(t, factory, models.Config{})
		for _, request := range []string{
			"GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
			"HEAD /plaintext HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /plaintext?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"GET /bytes/0 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /bytes/1048576 HTTP/1.1\r\nHost: a\r\n\r\n",
			"HEAD /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /bytes/1048577 HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET /bytes/x HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
			"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
			"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /plaintext HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
			"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
		} {
			want, wantBody := ask(t, dial(t, ours), request)
			got, gotBody := ask(t, dial(t, theirs), request)
			what := name + ": " + request
			assert.Equal(t, want.StatusCode, got.StatusCode, what)
			assert.Equal(t, want.ContentLength, got.ContentLength, what)
			assert.Equal(t, want.Close, got.Close, what)
			require.Equal(t, len(wantBody), len(gotBody), what)
			assert.True(t, wantBody == gotBody, what)
			for _, field := range []string{"Server", "Content-Type", "Allow"} {
				assert.Equal(t, want.Header[field], got.Header[field], what)
			}
			assert.NotEmpty(t, got.Header["Date"])
		}
	}
}

func TestAServiceThatIsNotHTTPIsRefused(t *testing.T) {
	for name, factory := range rows {
		for _, s := range []models.Service{models.Echo{}, models.Waiting{Service: models.Frame{}}} {
			_, err := factory(models.Config{Service: s})
			require.ErrorContains(t, err, "is not http", name)
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

func TestWorkAroundHTTPIsDoneForEachRequest(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, s := range []models.Service{
		models.Waiting{Service: models.HTTP{}, Delay: delay},
		models.Spin{Service: models.Waiting{Service: models.HTTP{}, Delay: delay}, Iterations: 10},
		models.Waiting{Service: models.Spin{Service: models.HTTP{}, Iterations: 10}, Delay: delay},
	} {
		c := dial(t, start(t, newServer(false), models.Config{Service: s}))
		for range 3 {
			began := time.Now()
			_, body := ask(t, c, "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n")
			assert.Equal(t, "Hello, World!", body)
			assert.GreaterOrEqual(t, time.Since(began), delay, s.Name())
		}
	}
}

func TestStatsCountConnectionsAndBytes(t *testing.T) {
	const request = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, factory := range rows {
		s := start(t, factory, models.Config{})
		c := dial(t, s)
		for range 5 {
			ask(t, c, request)
		}
		stats := s.Stats()
		assert.Equal(t, "fasthttp", stats.Model)
		assert.Equal(t, strings.HasSuffix(name, "-recommended"), stats.Variant == "recommended")
		assert.EqualValues(t, 1, stats.Accepted)
		assert.EqualValues(t, 1, stats.Active)
		assert.EqualValues(t, 5*len(request), stats.BytesIn)
		assert.Greater(t, stats.BytesOut, uint64(5*len("Hello, World!")))
		require.NoError(t, c.Close())
		require.Eventually(t, func() bool { return s.Stats().Active == 0 }, 10*time.Second, time.Millisecond)
		assert.Zero(t, s.Stats().ConnErrors)
	}
}

func TestIdleConnectionsAreClosedAndCounted(t *testing.T) {
	for name, factory := range rows {
		s := start(t, factory, models.Config{IdleTimeout: 50 * time.Millisecond})
		_, err := dial(t, s).Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, name)
		require.Eventually(t, func() bool { return s.Stats().IdleClosed == 1 && s.Stats().Active == 0 }, 10*time.Second, time.Millisecond)
	}
}

func TestConnectionsBeyondTheLimitAreRejectedOrWait(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, factory := range rows {
		s := start(t, factory, models.Config{MaxConns: 1, OnLimit: models.Reject})
		first := dial(t, s)
		ask(t, first, request)
		_, err := dial(t, s).Read(make([]byte, 1))
		require.Error(t, err, name)
		assert.EqualValues(t, 1, s.Stats().Rejected)

		s = start(t, factory, models.Config{MaxConns: 1})
		first = dial(t, s)
		ask(t, first, request)
		second := dial(t, s)
		_, err = io.WriteString(second, request)
		require.NoError(t, err)
		assert.EqualValues(t, 1, s.Stats().Active)
		require.NoError(t, first.Close())
		_, err = http.ReadResponse(bufio.NewReader(second), nil)
		require.NoError(t, err, name)
	}
}

func TestShutdownEndsWhatWasReadAndClosesIdleConnections(t *testing.T) {
	for name, factory := range rows {
		s := start(t, factory, models.Config{Service: models.Waiting{Service: models.HTTP{}, Delay: 200 * time.Millisecond}})
		idle, busy := dial(t, s), dial(t, s)
		ask(t, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		const request = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n"
		before := s.Stats().BytesIn
		_, err := io.WriteString(busy, request)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.Stats().BytesIn == before+uint64(len(request)) }, 10*time.Second, time.Millisecond)
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			done <- s.Shutdown(ctx)
		}()
		r, err := http.ReadResponse(bufio.NewReader(busy), nil)
		require.NoError(t, err, name)
		assert.Equal(t, 200, r.StatusCode)
		_, err = idle.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, <-done)
		_, err = net.Dial(s.Addr().Network(), s.Addr().String())
		require.Error(t, err, "nobody listens any more")
	}
}

func TestShutdownGivesUpWhenItsContextEnds(t *testing.T) {
	s := start(t, newServer(false), models.Config{Service: models.Waiting{Service: models.HTTP{}, Delay: 300 * time.Millisecond}})
	c := dial(t, s)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Stats().BytesIn > 0 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.True(t, errors.Is(s.Shutdown(ctx), context.DeadlineExceeded))
	assert.Zero(t, s.Stats().Active)
}

// The services of the conformance suite are not HTTP; these are its rules that
// hold of a server before it serves any.
func TestRulesAboutConfiguration(t *testing.T) {
	for _, r := range modeltest.Rules() {
		if r.Name != "config-errors" {
			continue
		}
		for name, factory := range rows {
			t.Run(name+"/"+r.Name, func(t *testing.T) { r.Check(t, factory) })
		}
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for name, factory := range rows {
		_, err := factory(models.Config{Network: "tcp4", Address: l.Addr().String(), Service: models.HTTP{}})
		require.ErrorContains(t, err, l.Addr().String(), name)
	}
}
