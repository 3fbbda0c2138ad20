package reuseport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/ptree"
	"netbench/models"
)

// patience bounds what these tests wait for. It only bounds failures.
const patience = 30 * time.Second

// preforks are the options of the models that these tests are about.
func preforks() []PreforkOptions {
	var all []PreforkOptions
	for over := range kinds {
		all = append(all, PreforkOptions{Over: Over(over)})
	}
	return all
}

// eachPrefork runs a test for all of them.
func eachPrefork(t *testing.T, test func(*testing.T, PreforkOptions)) {
	for _, o := range preforks() {
		t.Run(o.Over.String(), func(t *testing.T) { test(t, o) })
	}
}

// family is a prefork server that this process supervises.
type family struct {
	*supervisor
	served chan error
}

// start serves until the test ends, and sees to it that nothing is left then.
func start(t *testing.T, o PreforkOptions, cfg models.Config) family {
	t.Helper()
	return startBy(t, Prefork(o), cfg)
}

func startBy(t *testing.T, factory models.Factory, cfg models.Config) family {
	t.Helper()
	before := descriptors(t)
	if cfg.Service == nil {
		cfg.Service = models.Echo{}
	}
	made, err := factory(cfg)
	require.NoError(t, err)
	f := family{made.(*supervisor), make(chan error, 1)}
	pids := f.pids()
	go func() { f.served <- f.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, f.Close())
		<-f.served
		for _, pid := range pids {
			assert.True(t, gone(pid), "worker %d is left", pid)
		}
		assert.Eventually(t, func() bool { return descriptors(t) == before }, patience, time.Millisecond, "descriptors are left")
	})
	return f
}

func (f family) pids() (pids []int) {
	for _, p := range f.places {
		pids = append(pids, p.current().PID())
	}
	return pids
}

// gone tells whether a process has ended, reaped or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	var state byte
	for i := len(stat) - 1; i > 0; i-- {
		if stat[i] == ')' {
			state = stat[i+2]
			break
		}
	}
	return state == 'Z' || state == 'X'
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr.String(), patience)
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// exchange sends a request and demands the beginning of its reply.
func exchange(nc net.Conn, request, reply string) error {
	if _, err := io.WriteString(nc, request); err != nil {
		return err
	}
	got := make([]byte, len(reply))
	if _, err := io.ReadFull(nc, got); err != nil {
		return err
	}
	if string(got) != reply {
		return fmt.Errorf("the reply begins with %q, want %q", got, reply)
	}
	return nil
}

func TestEveryServiceIsServedByAllWorkers(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		for service, talk := range map[string][2]string{
			"echo":          {"hello", "hello"},
			"echo+wait=1ms": {"hello", "hello"},
			"frame":         {"\x00\x00\x00\x02hi", "\x00\x00\x00\x02hi"},
			"line":          {"ping\n", ""},
			"http+body=100": {"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		} {
			parsed, err := models.ParseService(service)
			require.NoError(t, err)
			f := start(t, o, models.Config{Service: parsed, Listeners: 3})
			const conns = 60
			for range conns {
				nc := dial(t, f.Addr())
				require.NoError(t, exchange(nc, talk[0], talk[1]), service)
				if talk[1] == "" {
					_, err := nc.Read(make([]byte, 1))
					require.NoError(t, err, service)
				}
			}
			var sum uint64
			counts := f.PerListener()
			require.Len(t, counts, 3)
			for _, n := range counts {
				assert.Positive(t, n, "%s: %v", service, counts) // 3 * (2/3)^60 is nothing
				sum += n
			}
			stats := f.Stats()
			assert.EqualValues(t, conns, sum)
			assert.EqualValues(t, conns, stats.Accepted)
			assert.EqualValues(t, conns, stats.Active)
			assert.Equal(t, "prefork-"+o.Over.String(), stats.Model)
			assert.Equal(t, "workers=3", stats.Variant)
			require.NoError(t, f.Close())
			assert.EqualValues(t, conns, f.Stats().Accepted, "after Close")
			assert.Zero(t, f.Stats().Active, "after Close")
			require.ErrorIs(t, f.Serve(), models.ErrServerClosed)
		}
	})
}

// client exchanges without a pause until it fails or is told to stop.
type client struct {
	nc   net.Conn
	done atomic.Int64
	err  error
}

func (c *client) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if c.err = exchange(c.nc, "hello", "hello"); c.err != nil {
			return
		}
		c.done.Add(1)
	}
}

func TestAKilledWorkerIsRestartedAndTheOthersConnectionsGoOn(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		f := start(t, o, models.Config{Listeners: 2})
		clients := make([]*client, 40)
		stop := make(chan struct{})
		var running sync.WaitGroup
		for i := range clients {
			clients[i] = &client{nc: dial(t, f.Addr())}
			running.Go(func() { clients[i].run(stop) })
		}
		busy := func(by int64) func() bool {
			var marks []int64
			for _, c := range clients {
				marks = append(marks, c.done.Load())
			}
			return func() bool {
				for i, c := range clients {
					if c.done.Load() < marks[i]+by {
						return false
					}
				}
				return true
			}
		}
		require.Eventually(t, busy(1), patience, time.Millisecond)
		// Workers that are this busy may take long to say what they have counted.
		var counts []uint64
		require.Eventually(t, func() bool {
			counts = f.PerListener()
			return counts[0]+counts[1] == uint64(len(clients))
		}, patience, time.Millisecond)
		before := f.Stats()
		victim := f.pids()[0]
		require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
		require.Eventually(t, func() bool { return f.Stats().Restarts == 1 }, patience, time.Millisecond)
		assert.NotEqual(t, victim, f.pids()[0])

		// Whoever still is connected goes on; whoever comes is served by both.
		for range 40 {
			require.NoError(t, exchange(dial(t, f.Addr()), "new", "new"))
		}
		assert.Eventually(t, func() bool {
			after := f.PerListener()
			return after[0] > counts[0] && after[1] > counts[1]
		}, patience, time.Millisecond, "the new worker has connections, and the old one's are not forgotten")
		close(stop)
		running.Wait()
		var lost uint64
		for _, c := range clients {
			if c.err != nil {
				lost++
			}
		}
		assert.Equal(t, counts[0], lost, "the connections of the killed worker, and no others")
		stats := f.Stats()
		assert.EqualValues(t, 80, stats.Accepted)
		assert.GreaterOrEqual(t, stats.BytesIn, before.BytesIn)
		require.NoError(t, f.Shutdown(context.Background()))
		require.ErrorIs(t, <-f.served, models.ErrServerClosed)
		f.served <- nil // for the cleanup
	})
}

func TestThePortStaysOursWhileAWorkerIsDown(t *testing.T) {
	f := start(t, PreforkOptions{}, models.Config{Listeners: 1})
	require.NoError(t, syscall.Kill(f.pids()[0], syscall.SIGKILL))
	for down := true; down; down = f.Stats().Restarts == 0 {
		l, err := net.Listen("tcp", f.Addr().String())
		if err == nil {
			_ = l.Close()
		}
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
	_, err := Factory(Options{})(models.Config{Service: models.Echo{}, Address: f.Addr().String()})
	require.ErrorIs(t, err, syscall.EADDRINUSE, "one who would share it")
	_, err = Prefork(PreforkOptions{})(models.Config{Service: models.Echo{}, Address: f.Addr().String()})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, exchange(dial(t, f.Addr()), "x", "x"))
}

func TestAWorkerThatIsTerminatedWhileItStartsIsStartedAgain(t *testing.T) {
	file := t.TempDir() + "/signalled"
	t.Setenv(signalled, file)
	f := startBy(t, interrupted, models.Config{Listeners: 2})
	require.FileExists(t, file, "a worker was hit")
	require.NoError(t, exchange(dial(t, f.Addr()), "x", "x"))
	require.Zero(t, f.Stats().Restarts, "nobody was served by the one that was hit")

	t.Setenv(signalled, "/nowhere/signalled")
	_, err := interrupted(models.Config{Service: models.Echo{}, Listeners: 2})
	require.ErrorContains(t, err, "signal: terminated", "it is not tried for ever")
}

func TestTooManyDeathsEndServeWithTheLastWords(t *testing.T) {
	made, err := doomed(models.Config{Service: models.Echo{}, Listeners: 2})
	require.NoError(t, err)
	s := made.(*supervisor)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	for err = nil; err == nil; {
		select {
		case err = <-served:
		default:
			if nc, dialled := net.DialTimeout("tcp", s.Addr().String(), patience); dialled == nil {
				_ = nc.Close()
			}
		}
	}
	require.NotErrorIs(t, err, models.ErrServerClosed)
	assert.ErrorContains(t, err, "3 workers died within 30s, and at most 2 are restarted")
	assert.ErrorContains(t, err, "these are my last words")
	for _, p := range s.places {
		assert.True(t, gone(p.worker.PID()), "Serve left a worker behind")
	}
	free, err := net.Listen("tcp", s.Addr().String())
	require.NoError(t, err, "the address is given up")
	require.NoError(t, free.Close())
	require.NoError(t, s.Close())
}

func TestWithoutRestartsTheFirstDeathEndsServe(t *testing.T) {
	f := start(t, PreforkOptions{Deaths: -1}, models.Config{Listeners: 2})
	require.NoError(t, syscall.Kill(f.pids()[1], syscall.SIGKILL))
	err := <-f.served
	f.served <- nil // for the cleanup
	require.ErrorContains(t, err, "at most 0 are restarted; the last was worker 1")
	require.ErrorContains(t, err, "signal: killed")
	require.Zero(t, f.Stats().Restarts)
}

func TestShutdownAnswersEveryRequestOfAllWorkers(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		service, err := models.ParseService("echo+wait=200ms")
		require.NoError(t, err)
		f := start(t, o, models.Config{Service: service, Listeners: 3})
		conns := make([]net.Conn, 60)
		for i := range conns {
			conns[i] = dial(t, f.Addr())
			_, err := fmt.Fprintf(conns[i], "request %02d", i)
			require.NoError(t, err)
		}
		drained := make(chan error, 2)
		for range cap(drained) {
			go func() { drained <- f.Shutdown(context.Background()) }()
		}
		for i, nc := range conns {
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("request %02d", i), string(got))
		}
		for range cap(drained) {
			require.NoError(t, <-drained)
		}
		assert.EqualValues(t, len(conns), f.Stats().Accepted)
		assert.EqualValues(t, len("request 00")*len(conns), f.Stats().BytesOut)
	})
}

func TestShutdownThatIsOutOfTimeCutsAndSaysSo(t *testing.T) {
	service, err := models.ParseService("echo+wait=1h")
	require.NoError(t, err)
	f := start(t, PreforkOptions{}, models.Config{Service: service, Listeners: 2})
	nc := dial(t, f.Addr())
	_, err = io.WriteString(nc, "x")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return f.Stats().BytesIn == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Shutdown(ctx), context.DeadlineExceeded)
	_, err = nc.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is still open")
}

func TestAWorkerThatIsStoppedHoldsShutdownUpNoLongerThanItsContext(t *testing.T) {
	f := start(t, PreforkOptions{}, models.Config{Listeners: 2})
	require.NoError(t, f.places[1].current().Freeze())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Shutdown(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, <-f.served, models.ErrServerClosed)
	f.served <- nil // for the cleanup
}

func TestCloseWhileWorkersDieAndAreRestartedLeavesNothing(t *testing.T) {
	for i := range 8 {
		f := start(t, PreforkOptions{}, models.Config{Listeners: 2})
		for _, pid := range f.pids() {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		<-time.After(time.Duration(i) * 4 * time.Millisecond) // later and later in the course of the restart
		require.NoError(t, f.Close())
		own, err := ptree.Processes(os.Getpid())
		require.NoError(t, err)
		assert.Len(t, own, 1, "workers are left")
	}
}

func TestServeIsCalledOnce(t *testing.T) {
	f := start(t, PreforkOptions{}, models.Config{Listeners: 1})
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.supervisor.served
	}, patience, time.Millisecond)
	err := f.Serve()
	require.ErrorContains(t, err, "twice")
}

func TestMaxConnsIsDividedAmongTheWorkers(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		f := start(t, o, models.Config{Listeners: 2, MaxConns: 3, OnLimit: models.Reject})
		served := 0
		for range 60 {
			if nc := dial(t, f.Addr()); exchange(nc, "x", "x") == nil {
				served++
			}
		}
		stats := f.Stats()
		assert.Equal(t, 3, served)
		assert.EqualValues(t, 3, stats.Active)
		assert.EqualValues(t, 57, stats.Rejected)
		assert.ElementsMatch(t, []uint64{2, 1}, f.PerListener())
	})
}

// clocked is a service that is more than its name says.
func clocked() time.Time { return time.Unix(0, 0) }

func TestWhatWorkersCannotBeGivenIsAnErrorOfTheFactory(t *testing.T) {
	before := descriptors(t)
	for _, c := range []struct {
		o     PreforkOptions
		cfg   models.Config
		field string // of a ConfigError, "" for another error
		text  string
	}{
		{cfg: models.Config{}, field: "Service"},
		{cfg: models.Config{Service: models.Echo{}, Listeners: -1}, field: "Listeners"},
		{cfg: models.Config{Service: models.Echo{}, Listeners: 4, MaxConns: 3}, field: "MaxConns", text: "4 workers"},
		{cfg: models.Config{Service: models.Echo{}, Network: "unix", Address: t.TempDir() + "/s"}, field: "Network", text: "cannot be shared"},
		{cfg: models.Config{Service: models.Line{Now: clocked}}, text: "travels to the workers by its name"},
		{o: PreforkOptions{Over: 99}, cfg: models.Config{Service: models.Echo{}}, text: "Over is 99"},
		{o: PreforkOptions{Model: "unheard-of"}, cfg: models.Config{Service: models.Echo{}}, text: `unknown model "unheard-of"`},
	} {
		_, err := Prefork(c.o)(c.cfg)
		require.Error(t, err)
		assert.ErrorContains(t, err, c.text)
		var bad *models.ConfigError
		if c.field != "" && assert.ErrorAs(t, err, &bad) {
			assert.Equal(t, c.field, bad.Field)
		}
	}
	assert.Equal(t, before, descriptors(t))
	own, err := ptree.Processes(os.Getpid())
	require.NoError(t, err)
	assert.Len(t, own, 1, "no worker is left")
}

func TestWithoutANumberThereIsAWorkerForEachCPU(t *testing.T) {
	cpus, err := affinity()
	require.NoError(t, err)
	f := start(t, PreforkOptions{}, models.Config{})
	assert.Len(t, f.PerListener(), len(cpus))
}
