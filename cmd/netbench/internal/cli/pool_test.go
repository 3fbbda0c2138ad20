package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/sizing"
	"netbench/results"
)

// turnstile is a kind of pool whose calls take 100 µs each.
type turnstile struct {
	permits      int
	opened, open atomic.Int64 // servers
}

func (k *turnstile) Name() string { return "turnstile" }

func (k *turnstile) Open(_ context.Context, size int) (pools.Pool, error) {
	if size > k.permits {
		return nil, fmt.Errorf("the server permits %d connections (max_connections)", k.permits)
	}
	return &turnstilePool{slots: make(chan struct{}, size)}, nil
}

type turnstilePool struct{ slots chan struct{} }

func (p *turnstilePool) Do(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	time.Sleep(100 * time.Microsecond) // the work of the server
	<-p.slots
	return nil
}

func (p *turnstilePool) Warm(context.Context, int) error { return nil }
func (p *turnstilePool) Stats() pools.Stats {
	return pools.Stats{Max: cap(p.slots), Open: cap(p.slots), Waits: pools.Absent, Waited: pools.Absent}
}
func (p *turnstilePool) Close() error { return nil }

// poolCommandWith runs the command with a kind of its own.
func poolCommandWith(ctx context.Context, k *turnstile, stderr io.Writer, standIn bool, args ...string) (exit int, out string) {
	c := poolCommandOf(map[string]poolOpener{
		"turnstile": func(_ context.Context, o poolOptions) (*poolSubject, error) {
			addr := "127.0.0.1:1"
			if o.addr != "" {
				addr = o.addr
			}
			if err := permitPoolServer(addr, o.allowRemote); err != nil {
				return nil, err
			}
			k.opened.Add(1)
			k.open.Add(1)
			return &poolSubject{
				kind: k, service: "turnstile 1.0", standIn: standIn, given: true, addr: addr,
				close: func(context.Context) error { k.open.Add(-1); return nil },
			}, nil
		},
		"broken": func(context.Context, poolOptions) (*poolSubject, error) {
			return nil, errors.New("no broken to be had")
		},
	})
	var b strings.Builder
	exit = c.run(ctx, args, Streams{In: strings.NewReader(""), Out: &b, Err: stderr})
	return exit, b.String()
}

// quick is a sweep of a moment.
var quick = []string{"-kind", "turnstile", "-sizes", "1,4,2", "-concurrency", "8", "-rounds", "3", "-slice", "40ms", "-warm", "1ms", "-cores", "2"}

func TestPoolExplainsBadInputInOneLine(t *testing.T) {
	k := &turnstile{permits: 40}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no kind":         {nil, "no -kind is given (use broken, turnstile)"},
		"kind":            {[]string{"-kind", "swimming"}, `-kind "swimming" is unknown (use broken, turnstile)`},
		"size":            {append(quick, "-sizes", "1,two"), `-sizes: "two" is not a number (want a list as in 1,2,5)`},
		"no size":         {append(quick, "-sizes", ""), `-sizes: "" is not a number`},
		"size 0":          {append(quick, "-sizes", "0,5"), "size is 0 (want 1 to 10000)"},
		"size twice":      {append(quick, "-sizes", "5,5"), "size 5 is listed twice"},
		"concurrency":     {append(quick, "-concurrency", "-4"), "concurrency is -4 (want 1 to 100000)"},
		"rounds":          {append(quick, "-rounds", "1"), "rounds is 1 (want 2 to 1000"},
		"no rounds":       {append(quick, "-rounds", "0"), "-rounds is 0 (want more than 0)"},
		"slice":           {append(quick, "-slice", "0s"), "-slice is 0s (want more than 0)"},
		"negative slice":  {append(quick, "-slice", "-1s"), "slice is -1s (want 10ms to 1m0s)"},
		"disks":           {append(quick, "-disks", "-1"), "disks is -1 (want 0 or more)"},
		"no cores":        {append(quick, "-cores", "0"), "-cores is 0 (want more than 0)"},
		"directory":       {append(quick, "-markdown", "/dev/null/page.md"), "-markdown: no file can be made"},
		"argument":        {append(quick, "now"), `unexpected argument "now"`},
		"absent service":  {append(quick, "-kind", "broken"), "no broken to be had"},
		"another host":    {append(quick, "-addr", "192.0.2.1:6379"), "server 192.0.2.1:6379 is not on this host (netbench loads only loopback addresses; -allow-remote overrides"},
		"permitted":       {append(quick, "-sizes", "1,41"), "open a turnstile pool of 41: the server permits 40 connections (max_connections)"},
		"not a real flag": {append(quick, "-disk", "1"), "flag provided but not defined: -disk"},
	} {
		var stderr strings.Builder
		exit, out := poolCommandWith(t.Context(), k, &stderr, false, tc.args...)
		assert.Equal(t, results.ExitBadInput, exit, name)
		assert.Empty(t, out, name)
		said := strings.Replace(stderr.String(), "turnstile 1.0\n", "", 1)
		assert.Contains(t, said, tc.want, name)
		assert.Contains(t, said, "netbench pool: ", name)
		assert.Equal(t, 1, strings.Count(said, "\n"), "%s: one line: %s", name, said)
	}
	assert.Zero(t, k.open.Load(), "every server was ended")
	assert.EqualValues(t, 1, k.opened.Load(), "for bad input no server is started")
}

func TestPoolPrintsJSONAndAPageThatHidesTheAddress(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	k := &turnstile{permits: 40}
	var stderr strings.Builder
	exit, out := poolCommandWith(t.Context(), k, &stderr, false, append(quick, "-json", "-markdown", page, "-seed", "9",
		"-addr", "redis://:secret@127.0.0.1", "-allow-remote")...)
	var r sizing.Report
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&r), stderr.String())
	assert.Equal(t, "turnstile", r.Kind)
	assert.Equal(t, []int{1, 2, 4}, r.Sizes)
	assert.EqualValues(t, 9, r.Seed)
	require.Len(t, r.Curves, 1)
	assert.Equal(t, 3, r.Curves[0].Rounds)
	for _, p := range r.Curves[0].Points {
		assert.Positive(t, p.Calls)
		assert.Zero(t, p.Failed)
	}
	require.NotNil(t, r.Rule)
	assert.Equal(t, 5, r.Rule.Size, "two cores, one disk by default")
	want := results.ExitUndecided // a busy host may spoil so short a sweep, and the code says so
	if r.Knee.Answer == sizing.Found {
		want = results.ExitGood
	}
	assert.Equal(t, want, exit)
	assert.Contains(t, stderr.String(), "8 callers: round 3 of 3: ")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(text), "netbench pool -addr=ADDRESS -allow-remote=true ")
	assert.Contains(t, string(text), "## Recommended")
	assert.NotContains(t, string(text)+stderr.String(), "secret")
	assert.Zero(t, k.open.Load())
}

func TestPoolMarksAStandIn(t *testing.T) {
	var stderr strings.Builder
	exit, out := poolCommandWith(t.Context(), &turnstile{permits: 40}, &stderr, true, quick...)
	assert.Equal(t, results.ExitUndecided, exit, "its knee says nothing of the real one's")
	assert.Contains(t, out, "STAND-IN: this is not the real service")
	assert.Contains(t, out, "recommended: ")
	assert.Contains(t, out, "cores x 2 + disks: 2 x 2 + 1 = 5 connections")
}

func TestAPoolSweepThatIsInterruptedPrintsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	page := filepath.Join(t.TempDir(), "page.md")
	after := &cancelAt{text: "round 2 of 500", cancel: cancel}
	k := &turnstile{permits: 40}
	exit, out := poolCommandWith(ctx, k, after, false, append(quick, "-rounds", "500", "-markdown", page)...)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, after.String(), "netbench pool: interrupted\n")
	assert.Contains(t, out, "note: interrupted after 2 of 500 rounds")
	left, err := os.ReadDir(filepath.Dir(page))
	require.NoError(t, err)
	assert.Empty(t, left, "a page has all or is none")
	assert.Zero(t, k.open.Load())
}

func TestOnlyLoopbackAddressesAreThisHost(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:80": true, "127.8.9.1:80": true, "[::1]:80": true, "localhost:80": true, "localhost": true, "::1": true, "/run/postgresql": true,
		"192.0.2.1:80": false, "example.org:80": false, "0.0.0.0:80": false, "": false, "localhost.example.org:80": false,
	} {
		assert.Equal(t, want, isThisHost(addr), addr)
	}
}
