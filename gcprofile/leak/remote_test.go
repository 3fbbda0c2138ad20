package leak_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/gcprofile/leak"
	"netbench/internal/proc"
)

func TestMain(m *testing.M) {
	proc.Main(leaker)
	// The test of the runtime's leak profile needs a goroutine that nothing can wake.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("netbench/gcprofile/leak.abandons.func1"))
}

// leaker is a server with a page that leaks memory, one that leaks goroutines, one that
// leaks nothing, and its profiles.
var leaker = proc.Role{Name: "leaker", Run: func(ctx context.Context, ch *proc.Channel, _ json.RawMessage) error {
	runtime.MemProfileRate = 512
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/memory", func(http.ResponseWriter, *http.Request) { login() })
	mux.HandleFunc("/goroutines", func(http.ResponseWriter, *http.Request) { waitFor(ctx) })
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if err := ch.Ready("http://" + l.Addr().String()); err != nil {
		return err
	}
	<-ctx.Done()
	err = s.Close()
	<-served
	return err
}}

//go:noinline
func waitFor(ctx context.Context) {
	go func() { <-ctx.Done() }()
}

// startLeaker starts it in a process of its own.
func startLeaker(t *testing.T) (url string) {
	t.Helper()
	child, err := proc.Start(t.Context(), proc.Options{Role: leaker.Name, StartTimeout: time.Minute, Log: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, child.Kill()) })
	require.NoError(t, json.Unmarshal(child.Info(), &url))
	return url
}

// remotely is for tests.
var remotely = leak.Options{Interval: 20 * time.Millisecond, Warmup: 40 * time.Millisecond, Grace: time.Millisecond}

// load asks for a page until enough is true.
func load(t *testing.T, url string, enough func() bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	require.Eventually(t, func() bool {
		resp, err := client.Get(url)
		if assert.NoError(t, err) {
			resp.Body.Close()
		}
		return enough()
	}, 30*time.Second, 2*time.Millisecond)
}

func TestStartRemoteNamesWhatAnotherProcessLeaks(t *testing.T) {
	for _, c := range []struct {
		page  string
		kind  leak.Kind
		where string
	}{
		{"/memory", leak.Heap, "leak_test.login (example_test.go:"},
		{"/goroutines", leak.Goroutine, "leak_test.waitFor.func1"},
	} {
		t.Run(c.page, func(t *testing.T) {
			url := startLeaker(t)
			asked := 0
			load(t, url+c.page, func() bool { asked++; return asked == 20 })
			d, err := leak.StartRemote(url+"/debug/pprof/", remotely)
			require.NoError(t, err)
			asked = 0
			load(t, url+c.page, func() bool { asked++; return len(d.Findings()) > 0 })
			d.EndLoad()
			r := d.Stop()
			require.NotEmpty(t, r.Findings, r)
			assert.Equal(t, c.kind, r.Findings[0].Kind)
			assert.Contains(t, r.Findings[0].Where, c.where)
			if c.kind == leak.Goroutine {
				assert.Equal(t, asked, r.Findings[0].Left, "not those from before")
			}
			assert.Contains(t, r.String(), "descriptors not watched")
		})
	}
}

func TestStartRemoteIsSilentAboutAServerThatLeaksNothing(t *testing.T) {
	url := startLeaker(t)
	d, err := leak.StartRemote(url+"/debug/pprof", remotely)
	require.NoError(t, err)
	load(t, url+"/nothing", func() bool { return d.Samples() > 30 })
	d.EndLoad()
	r := d.Stop()
	assert.Empty(t, r.Findings, r)
	assert.Empty(t, r.Undecided)
}

func TestStopSaysSoWhereTheRemoteProcessWentAway(t *testing.T) {
	child, err := proc.Start(t.Context(), proc.Options{Role: leaker.Name, StartTimeout: time.Minute, Log: os.Stderr})
	require.NoError(t, err)
	var url string
	require.NoError(t, json.Unmarshal(child.Info(), &url))
	d, err := leak.StartRemote(url+"/debug/pprof", remotely)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return d.Samples() > 0 }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, child.Kill())
	assert.Contains(t, d.Stop().Undecided, "samples are missing")
	_, err = leak.StartRemote(url, remotely)
	assert.ErrorContains(t, err, "connection refused")
}

func TestStartRemoteRefusesWhatServesNoProfiles(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:6060", "ftp://127.0.0.1/", "http:///debug"} {
		_, err := leak.StartRemote(base, remotely)
		assert.ErrorContains(t, err, "no address of net/http/pprof", base)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, err := leak.StartRemote(other.URL, remotely)
	assert.ErrorContains(t, err, "404")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer page.Close()
	_, err = leak.StartRemote(page.URL, remotely)
	assert.ErrorContains(t, err, "no stacks that are known")
}
