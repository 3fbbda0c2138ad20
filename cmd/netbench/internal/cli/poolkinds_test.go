package cli

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
	"netbench/pools/sizing"
	"netbench/results"
	"netbench/testenv/services"
)

// sweepOf is a sweep of a moment of a kind.
func sweepOf(kind string, more ...string) []string {
	return append([]string{"pool", "-kind", kind, "-sizes", "1,2", "-concurrency", "3", "-rounds", "2", "-slice", "20ms", "-warm", "1ms"}, more...)
}

// needsPostgres skips a test whose command found none.
func needsPostgres(t *testing.T, stderr string) {
	t.Helper()
	if strings.Contains(stderr, "netbench pool: no postgres: ") {
		needs.Skip(t, needs.Postgres, stderr)
	}
}

func TestPoolSweepsEveryKind(t *testing.T) {
	for kind := range poolKinds() {
		t.Run(kind, func(t *testing.T) {
			unpinned(t)
			exit, out, stderr := netbench(t, t.Context(), sweepOf(kind, "-json")...)
			needsPostgres(t, stderr)
			var r sizing.Report
			require.NoError(t, json.Unmarshal([]byte(out), &r), stderr)
			assert.NotEqual(t, results.ExitBadInput, exit, stderr)
			assert.Equal(t, kind, r.Kind)
			assert.Contains(t, stderr, r.Service)
			require.Len(t, r.Curves, 1)
			for _, p := range r.Curves[0].Points {
				assert.Positive(t, p.Calls)
				assert.Zero(t, p.Failed, p.Error)
			}
			require.NotNil(t, r.Rule)
			assert.Positive(t, r.Rule.Cores)
		})
	}
}

func TestPoolTakesAServerThatRuns(t *testing.T) {
	unpinned(t)
	server, err := services.StartRedis(t.Context(), services.RedisOptions{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Stop(t.Context())) }()
	t.Setenv(services.EnvRedis, "127.0.0.1:1") // which -addr overrules
	options := server.Options()
	exit, out, stderr := netbench(t, t.Context(), sweepOf("redis", "-addr", "redis://:"+options.Password+"@"+options.Addr, "-json")...)
	var r sizing.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), stderr)
	assert.NotEqual(t, results.ExitBadInput, exit)
	assert.Contains(t, r.Service, "by given address")
	if options.Password != "" {
		assert.NotContains(t, out+stderr, options.Password)
	}
}

func TestPoolMarksMiniredisAsAStandIn(t *testing.T) {
	unpinned(t)
	t.Setenv("PATH", t.TempDir())
	t.Setenv(services.EnvRedis, "")
	t.Setenv("DOCKER_HOST", "unix:///nowhere")
	_, out, stderr := netbench(t, t.Context(), sweepOf("redis")...)
	assert.Contains(t, out, "STAND-IN: this is not the real service", stderr)
}

func TestASizeAboveMaxConnectionsIsOneLine(t *testing.T) {
	unpinned(t)
	exit, out, stderr := netbench(t, t.Context(), sweepOf("postgres", "-sizes", "1,5000")...)
	needsPostgres(t, stderr)
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Empty(t, out)
	assert.NotContains(t, stderr, "round", "nothing was measured")
	assert.Regexp(t, `(?m)^netbench pool: .*open a postgres pool of 5000: .*max_connections.*\n$`, stderr)
}

func TestServersThatCannotBePooledAreOneLineWithoutAPassword(t *testing.T) {
	unpinned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refuses := l.Addr().String()
	require.NoError(t, l.Close())
	for name, tc := range map[string]struct {
		kind, addr, want string
	}{
		"http refused":       {"http", "http://u:hunter2@" + refuses + "/", "connection refused"},
		"http elsewhere":     {"http", "http://u:hunter2@192.0.2.1/", "is not on this host"},
		"postgres elsewhere": {"postgres", "postgres://u:hunter2@localhost/x?hostaddr=192.0.2.1", "192.0.2.1:5432 is not on this host"},
		"postgres hosts":     {"postgres", "postgres://u:hunter2@localhost,192.0.2.1/x", "names several hosts"},
		"redis elsewhere":    {"redis", "redis://:hunter2@192.0.2.1:6379", "192.0.2.1:6379 is not on this host"},
		"http scheme":        {"http", "ftp://u:hunter2@127.0.0.1/", "http"},
		"postgres refused":   {"postgres", "postgres://u:hunter2@" + refuses + "/x?sslmode=disable", "connection refused"},
		"postgres no DSN":    {"postgres-pgx", "postgres://u:hunter2@%%%/x", "the DSN does not parse"},
		"redis refused":      {"redis", "redis://:hunter2@" + refuses, "connection refused"},
		"redis no address":   {"redis", "hunter2", "the address does not parse"},
		"redis two schemes":  {"redis", "redis://redis://:hunter2@x", "the URL does not parse"},
	} {
		exit, out, stderr := netbench(t, t.Context(), sweepOf(tc.kind, "-addr", tc.addr)...)
		assert.Equal(t, results.ExitBadInput, exit, name)
		assert.Empty(t, out, name)
		assert.Contains(t, stderr, tc.want, name)
		assert.NotContains(t, stderr, "hunter2", name)
		lines := 0
		for line := range strings.Lines(stderr) {
			if strings.HasPrefix(line, "netbench pool: ") {
				lines++
			} else {
				assert.Contains(t, line, "given", "%s: only what is pooled is told beside: %s", name, line)
			}
		}
		assert.Equal(t, 1, lines, "%s: %s", name, stderr)
	}
}
