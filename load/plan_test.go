package load

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// targets parses URLs that are good.
func targets(t *testing.T, urls ...string) (ts []Target) {
	t.Helper()
	for _, u := range urls {
		target, err := ParseTarget(t.Context(), u)
		require.NoError(t, err)
		ts = append(ts, target)
	}
	return ts
}

func TestNormalizeFillsInDefaults(t *testing.T) {
	p, err := Plan{Targets: targets(t, "tcp://127.0.0.1:7")}.Normalize()
	require.NoError(t, err)
	assert.Equal(t, Closed, p.Mode)
	assert.Equal(t, 50, p.Conns)
	assert.Equal(t, 1, p.Pipeline)
	assert.Equal(t, 64, p.Size)
	assert.Equal(t, Constant, p.Arrivals)
	assert.Equal(t, 10*time.Second, p.Duration)
	assert.Zero(t, p.Warmup)
	assert.Equal(t, 5*time.Second, p.DialTimeout)
	assert.Equal(t, 10*time.Second, p.RequestTimeout)
	assert.Equal(t, 2*time.Second, p.Grace)
	assert.Equal(t, defaultEngine, p.Engine)
	assert.Equal(t, 200*time.Microsecond, p.Thresholds.SendLag)
	again, err := p.Normalize()
	require.NoError(t, err)
	assert.Equal(t, p, again, "a plan that is complete stays as it is")

	p, err = Plan{Targets: targets(t, "tcp://127.0.0.1:7"), Mode: Connect, RequestTimeout: time.Second}.Normalize()
	require.NoError(t, err)
	assert.Equal(t, 13, p.Size)
	assert.Equal(t, 10*time.Millisecond, p.Pause)
	assert.Equal(t, time.Second, p.Grace, "the grace is no longer than a request may take")

	p, err = Plan{Targets: targets(t, "tcp://127.0.0.1:7"), Mode: Stream}.Normalize()
	require.NoError(t, err)
	assert.Equal(t, 64<<10, p.Size)
}

func TestNormalizeNamesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *Plan)
		says   []string
	}{
		"no target":           {func(p *Plan) { p.Targets = nil }, []string{"no target", "tcp://host:port"}},
		"remote target":       {func(p *Plan) { p.Targets = targets(t, "tcp://192.0.2.1:7") }, []string{"192.0.2.1", "-allow-remote"}},
		"two protocols":       {func(p *Plan) { p.Targets = targets(t, "tcp://127.0.0.1:7", "line://127.0.0.1:8") }, []string{"tcp://127.0.0.1:7", "line://127.0.0.1:8", "protocol"}},
		"unknown mode":        {func(p *Plan) { p.Mode = "sideways" }, []string{"mode", "sideways", "closed", "stream"}},
		"negative conns":      {func(p *Plan) { p.Conns = -1 }, []string{"conns", "-1"}},
		"too many conns":      {func(p *Plan) { p.Conns = maxConns + 1 }, []string{"conns"}},
		"negative pipeline":   {func(p *Plan) { p.Pipeline = -2 }, []string{"pipeline", "-2"}},
		"deep pipeline":       {func(p *Plan) { p.Pipeline = maxPipeline + 1 }, []string{"pipeline", "1025"}},
		"negative size":       {func(p *Plan) { p.Size = -1 }, []string{"size", "-1"}},
		"large size":          {func(p *Plan) { p.Size = maxSize + 1 }, []string{"size"}},
		"negative duration":   {func(p *Plan) { p.Duration = -time.Second }, []string{"duration", "-1s"}},
		"tiny duration":       {func(p *Plan) { p.Duration = time.Microsecond }, []string{"duration", "1µs"}},
		"negative warmup":     {func(p *Plan) { p.Warmup = -1 }, []string{"warmup"}},
		"negative requests":   {func(p *Plan) { p.Requests = -5 }, []string{"requests", "-5"}},
		"negative pause":      {func(p *Plan) { p.Pause = -1 }, []string{"pause"}},
		"negative dial":       {func(p *Plan) { p.DialTimeout = -1 }, []string{"dial-timeout"}},
		"negative request":    {func(p *Plan) { p.RequestTimeout = -1 }, []string{"timeout"}},
		"negative grace":      {func(p *Plan) { p.Grace = -1 }, []string{"grace"}},
		"negative processes":  {func(p *Plan) { p.Processes = -1 }, []string{"processes", "-1"}},
		"too many processes":  {func(p *Plan) { p.Processes, p.MaxProcesses = 9, 8 }, []string{"processes", "9", "8"}},
		"no processes":        {func(p *Plan) { p.MaxProcesses = -1 }, []string{"max-processes"}},
		"negative CPUs":       {func(p *Plan) { p.ServerCPUs = -1 }, []string{"server-cpus"}},
		"open without a rate": {func(p *Plan) { p.Mode = Open }, []string{"open", "-rate"}},
		"negative rate":       {func(p *Plan) { p.Mode, p.Rate = Open, -1 }, []string{"-rate", "-1"}},
		"rate is no number":   {func(p *Plan) { p.Mode, p.Rate = Open, math.NaN() }, []string{"-rate", "NaN"}},
		"rate is infinite":    {func(p *Plan) { p.Mode, p.Rate = Open, math.Inf(1) }, []string{"-rate", "Inf"}},
		"rate when closed":    {func(p *Plan) { p.Rate = 100 }, []string{"rate", "-mode open"}},
		"unknown arrivals":    {func(p *Plan) { p.Arrivals = "bursty" }, []string{"arrivals", "bursty", "poisson"}},
		"requests when open":  {func(p *Plan) { p.Mode, p.Rate, p.Requests = Open, 1, 1 }, []string{"requests", "-duration"}},
		"requests when idle":  {func(p *Plan) { p.Mode, p.Requests = Idle, 1 }, []string{"requests", "idle"}},
		"stream of lines":     {func(p *Plan) { p.Mode, p.Targets = Stream, targets(t, "line://127.0.0.1:7") }, []string{"stream", "line://127.0.0.1:7"}},
		"stream of HTTP":      {func(p *Plan) { p.Mode, p.Targets = Stream, targets(t, "http://127.0.0.1:7/") }, []string{"stream", "echoes"}},
		"pipelined connect":   {func(p *Plan) { p.Mode, p.Pipeline = Connect, 2 }, []string{"connect", "-pipeline"}},
		"pipelined idle":      {func(p *Plan) { p.Mode, p.Pipeline = Idle, 2 }, []string{"idle", "-pipeline"}},
		"unknown engine":      {func(p *Plan) { p.Engine = "steam" }, []string{"engine", "steam", "portable"}},
		"method of echo":      {func(p *Plan) { p.Method = "POST" }, []string{"method", "http://"}},
		"header of echo":      {func(p *Plan) { p.Header = http.Header{"A": {"b"}} }, []string{"headers", "http://"}},
		"body of echo":        {func(p *Plan) { p.Body = []byte("x") }, []string{"body", "http://"}},
		"bad method":          {func(p *Plan) { p.Targets, p.Method = targets(t, "http://127.0.0.1:7/"), "GET /" }, []string{"method", "GET /"}},
		"bad header name":     {func(p *Plan) { p.Targets, p.Header = targets(t, "http://127.0.0.1:7/"), http.Header{"A:": {"b"}} }, []string{"header", "A:"}},
		"header with a break": {func(p *Plan) {
			p.Targets, p.Header = targets(t, "http://127.0.0.1:7/"), http.Header{"A": {"b\r\nC: d"}}
		}, []string{"header", "line break"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := Plan{Targets: targets(t, "tcp://127.0.0.1:7")}
			c.change(&p)
			_, err := p.Normalize()
			assertBadInput(t, err, c.says...)
			_, err = Run(t.Context(), p)
			assertBadInput(t, err, c.says...)
		})
	}
}

func TestARemoteTargetIsAcceptedWhenAllowed(t *testing.T) {
	_, err := Plan{Targets: targets(t, "tcp://192.0.2.1:7"), AllowRemote: true}.Normalize()
	assert.NoError(t, err)
}

func TestParseTargetReadsEverySchemeOnce(t *testing.T) {
	for url, want := range map[string]Target{
		"tcp://127.0.0.1:7":          {Protocol: EchoProtocol, Network: "tcp", Address: "127.0.0.1:7", Host: "127.0.0.1:7"},
		"tcp://[::1]:7":              {Protocol: EchoProtocol, Network: "tcp", Address: "[::1]:7", Host: "[::1]:7"},
		"frame://127.0.0.1:7/":       {Protocol: FrameProtocol, Network: "tcp", Address: "127.0.0.1:7", Host: "127.0.0.1:7"},
		"line://127.0.0.1:7":         {Protocol: LineProtocol, Network: "tcp", Address: "127.0.0.1:7", Host: "127.0.0.1:7"},
		"unix:///run/s":              {Protocol: EchoProtocol, Network: "unix", Address: "/run/s"},
		"http://127.0.0.1:8080":      {Protocol: HTTPProtocol, Network: "tcp", Address: "127.0.0.1:8080", Host: "127.0.0.1:8080", Path: "/"},
		"http://127.0.0.1/a%20b?c=d": {Protocol: HTTPProtocol, Network: "tcp", Address: "127.0.0.1:80", Host: "127.0.0.1", Path: "/a%20b?c=d"},
	} {
		got, err := ParseTarget(t.Context(), url)
		require.NoError(t, err, url)
		want.raw = url
		assert.Equal(t, want, got)
		assert.True(t, got.Loopback())
		assert.Equal(t, url, got.String())
	}
	byName, err := ParseTarget(t.Context(), "tcp://localhost:7")
	require.NoError(t, err)
	assert.True(t, byName.Loopback(), byName.Address)
	assert.Equal(t, "127.0.0.1:7", Target{Address: "127.0.0.1:7"}.String(), "one without a URL is named by its address")
}

func TestParseTargetNamesWhatIsWrong(t *testing.T) {
	for url, says := range map[string]string{
		"":                           "not a URL",
		"127.0.0.1:7":                "not a URL",
		"ftp://127.0.0.1:7":          "unknown scheme",
		"tcp://127.0.0.1":            "host or port",
		"tcp://:7":                   "host or port",
		"tcp://127.0.0.1:0":          "1 to 65535",
		"tcp://127.0.0.1:70000":      "1 to 65535",
		"tcp://127.0.0.1:7/path":     "path",
		"unix://run/s":               "three slashes",
		"unix:s":                     "three slashes",
		"http://":                    "host or port",
		"tcp://no.such.invalid.:7":   "no.such.invalid",
		"http://127.0.0.1:80:80/a":   "127.0.0.1:80:80",
		"tcp://user:pass@127.0.0.1:": "host or port",
	} {
		_, err := ParseTarget(t.Context(), url)
		assertBadInput(t, err, says)
	}
}

func TestAUnixPathThatIsTooLongIsBadInput(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		long := "/" + string(make([]byte, 0, 200))
		for len(long) < 200 {
			long += "x"
		}
		_, err := Run(t.Context(), Plan{Targets: targets(t, "unix://"+long), Engine: kind, Conns: 1})
		assertBadInput(t, err, long)
	})
}
