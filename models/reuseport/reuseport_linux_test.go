package reuseport

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/internal/needs"
	"netbench/models"
)

// serve serves until the test ends, and sees to it that nothing is left then.
func serve(t *testing.T, o Options, cfg models.Config) *server {
	t.Helper()
	before := descriptors(t)
	cfg.Service = models.Echo{}
	made, err := Factory(o)(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- made.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, made.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
		assert.Eventually(t, func() bool { return descriptors(t) == before }, patience, time.Millisecond, "descriptors are left")
	})
	return made.(*server)
}

// eachOver runs a test over goroutines, reactor loops and so on.
func eachOver(t *testing.T, test func(*testing.T, Over)) {
	for over := range kinds {
		t.Run(Over(over).String(), func(t *testing.T) { test(t, Over(over)) })
	}
}

func TestListenersOfOneProcessShareTheConnections(t *testing.T) {
	eachOver(t, func(t *testing.T, over Over) {
		const listeners, conns = 4, 100
		s := serve(t, Options{Over: over}, models.Config{Listeners: listeners})
		for range conns {
			require.NoError(t, exchange(dial(t, s.Addr()), "hello", "hello"))
		}
		counts := s.PerListener()
		require.Len(t, counts, listeners)
		var sum uint64
		for _, n := range counts {
			assert.Positive(t, n, "%v", counts) // 4 * 0.75^100 is nothing
			sum += n
		}
		assert.EqualValues(t, conns, sum)
		stats := s.Stats()
		assert.EqualValues(t, conns, stats.Accepted)
		assert.Equal(t, "reuseport-"+over.String(), stats.Model)
		assert.Equal(t, "listeners=4", stats.Variant)
	})
}

func TestThereAreAsManyListenersAsAskedFor(t *testing.T) {
	eachOver(t, func(t *testing.T, over Over) {
		for _, c := range []struct {
			cfg  models.Config
			want int
		}{
			{models.Config{}, runtime.GOMAXPROCS(0)},
			{models.Config{Listeners: 1}, 1},
			{models.Config{Listeners: 5}, 5},
			{models.Config{Listeners: 3, Loops: 3}, 3},
		} {
			s := serve(t, Options{Over: over}, c.cfg)
			assert.Len(t, s.PerListener(), c.want)
			assert.Equal(t, fmt.Sprintf("listeners=%d", c.want), s.Stats().Variant)
		}
	})
}

func TestWhatCannotBeSharedIsAnErrorOfTheFactory(t *testing.T) {
	eachOver(t, func(t *testing.T, over Over) {
		before := descriptors(t)
		_, err := Factory(Options{Over: over})(models.Config{Service: models.Echo{}, Network: "unix", Address: t.TempDir() + "/s"})
		require.ErrorIs(t, err, models.ErrUnsupported)
		var bad *models.ConfigError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "Network", bad.Field)

		s := serve(t, Options{Over: over}, models.Config{})
		_, err = Factory(Options{Over: over})(models.Config{Service: models.Echo{}, Address: s.Addr().String()})
		require.ErrorIs(t, err, syscall.EADDRINUSE, "one who would share it without being asked")
		require.NoError(t, s.Close())
		assert.Equal(t, before, descriptors(t))
	})
	_, err := Factory(Options{Over: 99})(models.Config{Service: models.Echo{}})
	require.ErrorContains(t, err, "Over is 99")
}

// dialOn connects from a thread that runs on one CPU, which on loopback is the
// one that handles the packets.
func dialOn(t *testing.T, core int, addr net.Addr) {
	t.Helper()
	var nc net.Conn
	require.NoError(t, cpu.RunOn([]int{core}, func() (err error) {
		nc, err = net.DialTimeout("tcp", addr.String(), patience)
		return err
	}))
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	require.NoError(t, exchange(nc, "hello", "hello"))
}

// steeredSpread counts, for connections from each CPU of the set in turn, where
// they land.
func steeredSpread(t *testing.T, s interface {
	models.Server
	models.Spread
}, cpus []int) (hits, conns int) {
	t.Helper()
	const each = 20
	before := s.PerListener()
	for i, core := range cpus {
		for range each {
			dialOn(t, core, s.Addr())
		}
		after := s.PerListener()
		hits += int(after[i] - before[i])
		before = after
	}
	return hits, each * len(cpus)
}

func TestSteeringBringsConnectionsToTheListenerOfTheirCPU(t *testing.T) {
	cpus, err := affinity()
	require.NoError(t, err)
	if len(cpus) < 2 {
		needs.Skip(t, "cpus", fmt.Sprintf("steering needs two CPUs to tell apart, this process has %v", cpus))
	}
	eachOver(t, func(t *testing.T, over Over) {
		s := serve(t, Options{Over: over, Steer: true}, models.Config{Listeners: len(cpus)})
		assert.Equal(t, fmt.Sprintf("listeners=%d,steered", len(cpus)), s.Stats().Variant)
		judgeSteering(t, s, cpus)
	})
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		o.Steer = true
		f := start(t, o, models.Config{Listeners: len(cpus)})
		assert.Equal(t, fmt.Sprintf("workers=%d,steered", len(cpus)), f.Stats().Variant)
		for i, pid := range f.pids() {
			set, err := cpu.Thread(pid)
			require.NoError(t, err)
			assert.Equal(t, []int{cpus[i]}, set, "worker %d", i)
		}
		judgeSteering(t, f.supervisor, cpus)
	})
}

// judgeSteering demands that connections land where they are steered to. A kernel
// that ignores the option spreads them by the hash: about one in as many as
// there are CPUs is right then, and all are only by a miracle.
func judgeSteering(t *testing.T, s interface {
	models.Server
	models.Spread
}, cpus []int) {
	t.Helper()
	hits, conns := steeredSpread(t, s, cpus)
	if hits < conns*9/10 && !kernelAtLeast(t, 6, 2) {
		needs.Skip(t, "steering", fmt.Sprintf("this kernel does not heed SO_INCOMING_CPU among listeners that share an address: %d of %d connections landed where they belong", hits, conns))
	}
	// Nearly all, since a packet that is sent again comes from wherever the timer
	// fires.
	assert.GreaterOrEqual(t, hits, conns*9/10, "connections at the listener of their CPU, of %d", conns)
}

func kernelAtLeast(t *testing.T, major, minor int) bool {
	t.Helper()
	var name syscall.Utsname
	require.NoError(t, syscall.Uname(&name))
	var release []byte
	for _, c := range name.Release {
		release = append(release, byte(c))
	}
	var a, b int
	_, err := fmt.Sscanf(string(release), "%d.%d", &a, &b)
	require.NoError(t, err)
	return a > major || a == major && b >= minor
}
