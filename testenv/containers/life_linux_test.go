package containers

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/testenv"
	"netbench/testenv/services"
)

// used is what a user tells when what it started is ready.
type used struct {
	Tree []int         // its own processes, the first of them itself
	Rung services.Rung // of a service
}

// user starts something in a container or beside, tells how, and then does nothing.
var user = proc.Role{Name: "user", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var what string
	if err := json.Unmarshal(raw, &what); err != nil {
		return err
	}
	var u used
	postgres := func(o services.PostgresOptions) error {
		o.StartTimeout = time.Minute
		p, err := services.StartPostgres(ctx, o)
		if err == nil {
			u.Rung = p.Info().Rung
		}
		return err
	}
	redis := func(o services.RedisOptions) error {
		o.RealOnly, o.StartTimeout = true, time.Minute
		r, err := services.StartRedis(ctx, o)
		if err == nil {
			u.Rung = r.Info().Rung
		}
		return err
	}
	var err error
	switch what {
	case "postgres":
		err = postgres(services.PostgresOptions{Binaries: nowhere})
	case "postgres, local":
		err = postgres(services.PostgresOptions{})
	case "redis, local":
		err = redis(services.RedisOptions{})
	case "redis":
		err = redis(services.RedisOptions{Binary: nowhere})
	default:
		_, err = StartServer(ctx, testenv.ServerSpec{Model: "goroutine", Service: "echo", StartTimeout: time.Minute}, Limits{})
	}
	if err != nil {
		return err
	}
	if u.Tree, err = ptree.Processes(os.Getpid()); err != nil {
		return err
	}
	if err := ch.Ready(u); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}}

// adopt has orphans come to this process, to be reaped here: not every init does it.
func adopt(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	t.Cleanup(func() { assert.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) })
}

// use starts a user, and returns its processes.
func use(t *testing.T, what string) (parent *proc.Child, tree []int) {
	t.Helper()
	adopt(t)
	parent, err := proc.Start(t.Context(), proc.Options{Role: "user", Spec: what, StartTimeout: 5 * time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, parent.Kill()) })
	var u used
	require.NoError(t, json.Unmarshal(parent.Info(), &u))
	require.Len(t, u.Tree, 2, "itself and the process that holds the container")
	require.Len(t, containers(t, u.Tree[0]), 1)
	return parent, u.Tree
}

// withinTwoSeconds fails the test if something takes longer each of three times: once
// may be for what else the host has to do.
func withinTwoSeconds(t *testing.T, do func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 3 {
		took = append(took, do())
		if took[len(took)-1] < 2*time.Second {
			return
		}
	}
	assert.Fail(t, "containers were left for more than two seconds each time", "%v", took)
}

// gone waits until a process has no container any more, and tells how long.
func gone(t *testing.T, owner int) time.Duration {
	t.Helper()
	began := time.Now()
	assert.Eventually(t, func() bool { return len(containers(t, owner)) == 0 }, 15*time.Second, 5*time.Millisecond)
	took := time.Since(began)
	t.Logf("waited %v for the end of its containers", took.Round(time.Millisecond))
	return took
}

func reaped(t *testing.T, pid int) {
	t.Helper()
	assert.Eventually(t, func() bool {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	}, 10*time.Second, time.Millisecond, "process %d is left", pid)
}

// each runs a test for everything that runs in a container.
func each(t *testing.T, test func(t *testing.T, what string)) {
	t.Run("server", func(t *testing.T) {
		engine(t)
		test(t, "server")
	})
	t.Run("postgres", func(t *testing.T) {
		image(t, EnvPostgresImage, DefaultPostgresImage)
		test(t, "postgres")
	})
	t.Run("redis", func(t *testing.T) {
		image(t, EnvRedisImage, DefaultRedisImage)
		test(t, "redis")
	})
}

func TestNoContainerOutlivesAKilledParent(t *testing.T) {
	each(t, func(t *testing.T, what string) {
		leaveNothing(t)
		withinTwoSeconds(t, func() time.Duration {
			parent, tree := use(t, what)
			require.NoError(t, unix.Kill(tree[0], unix.SIGKILL))
			took := gone(t, tree[0])
			<-parent.Done()
			reaped(t, tree[1])
			return took
		})
	})
}

func TestNoContainerOutlivesItsKilledHolder(t *testing.T) {
	each(t, func(t *testing.T, what string) {
		leaveNothing(t)
		withinTwoSeconds(t, func() time.Duration {
			parent, tree := use(t, what)
			require.NoError(t, unix.Kill(tree[1], unix.SIGKILL))
			took := gone(t, tree[0])
			require.NoError(t, parent.Kill())
			return took
		})
	})
}

func TestNoContainerIsLeftOfAParentThatIsKilledWhileItStarts(t *testing.T) {
	image(t, EnvRedisImage, DefaultRedisImage)
	leaveNothing(t)
	adopt(t)
	for after := 20 * time.Millisecond; after <= 200*time.Millisecond; after += 20 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		parent, err := proc.Start(ctx, proc.Options{Role: "user", Spec: "redis"})
		cancel()
		var pid int
		if err == nil { // it was quick
			pid = parent.PID()
			require.NoError(t, parent.Kill())
		} else {
			var ended *proc.ExitError
			require.ErrorAs(t, err, &ended)
			pid = ended.PID
		}
		orphansEnd(t) // the process that holds the container, if there was one already
		assert.Empty(t, containers(t, pid), "killed after %v", after)
	}
}

// orphansEnd reaps all orphans that have come to this process.
func orphansEnd(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		return errors.Is(err, unix.ECHILD)
	}, 15*time.Second, time.Millisecond)
}

// naming are the processes whose command line has a word.
func naming(t *testing.T, word string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range lines {
		line, _ := os.ReadFile(file) // it may have ended
		if strings.Contains(string(line), word) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestNothingIsLeftOfAParentThatIsKilledWhileItBuildsAnImage(t *testing.T) {
	engine(t)
	t.Setenv("GOCACHE", t.TempDir()) // so that there is something to build
	leaveNothing(t)
	adopt(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan error, 1)
	go func() {
		parent, err := proc.Start(ctx, proc.Options{Role: "user", Spec: "server", StartTimeout: 5 * time.Minute})
		if err == nil {
			err = errors.Join(errors.New("it did not build"), parent.Kill())
		}
		started <- err
	}()
	work := filepath.Join(os.TempDir(), "netbench-image-")
	require.Eventually(t, func() bool { return len(naming(t, work)) >= 2 }, time.Minute, time.Millisecond, "go and a compiler")
	cancel() // kills it
	var ended *proc.ExitError
	require.ErrorAs(t, <-started, &ended)
	orphansEnd(t)
	assert.Empty(t, naming(t, work), "compilers were left")
	assert.Empty(t, containers(t, ended.PID))
}

func TestNoContainerIsLeftOfAStartThatIsGivenUp(t *testing.T) {
	engine(t)
	// With the image there: what is given up is the container's start.
	carrier, err := Carrier(t.Context(), "", Limits{})
	require.NoError(t, err)
	leaveNothing(t)
	for _, after := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		s, err := testenv.StartServer(ctx, testenv.ServerSpec{Model: "goroutine", Service: "echo", Carrier: carrier})
		cancel()
		if err == nil {
			require.NoError(t, s.Stop(t.Context()))
			continue
		}
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestNothingIsLeftOfAServiceThatDoesNotStart(t *testing.T) {
	image(t, EnvRedisImage, DefaultRedisImage)
	for name, tc := range map[string]struct {
		change func(*recipe)
		within time.Duration
		want   string
	}{
		"ends":       {change: func(r *recipe) { r.command = []string{"sh", "-c", "cat /tmp/netbench/given >&2; exit 7"} }, want: "exit status 7; it wrote: (hidden)"},
		"hangs":      {change: func(r *recipe) { r.command = []string{"sleep", "300"} }, within: time.Second, want: "was not ready within 1s"},
		"no program": {change: func(r *recipe) { r.command = []string{"/no/such/program"} }, want: "it ended before it answered: exit status 127"},
		"no user":    {change: func(r *recipe) { r.user = "nobody-of-that-name" }, want: "nobody-of-that-name"},
		"prepare":    {change: func(r *recipe) { r.prepare = "echo the disk is full >&2; exit 3" }, want: "its container ended with exit status 3; it wrote: the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			leaveNothing(t)
			r := recipe{
				service: &service{
					name: "stub", timeout: time.Minute, password: func() string { return "xyzzy" },
					ready: func(context.Context) error { return errors.New("it does not answer") },
				},
				image: orDefault(EnvRedisImage, DefaultRedisImage), user: "redis", given: "xyzzy",
			}
			tc.change(&r)
			if tc.within > 0 {
				r.timeout = tc.within
			}
			_, _, err := r.start(t.Context())
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "xyzzy")
			assert.NotContains(t, err.Error(), "\n")
			t.Log(err)
		})
	}
}
