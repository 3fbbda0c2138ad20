//go:build linux

package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Environment that makes a child of these tests misbehave before Main.
const (
	envFirstLine = "PROC_TEST_FIRST_LINE" // written to the control channel instead of a hello
	envWill      = "PROC_TEST_WILL"       // file that an orphan makes
	envNoTie     = "PROC_TEST_NO_TIE"     // its children are tied by the pipe alone
)

func TestMain(m *testing.M) {
	if line := os.Getenv(envFirstLine); line != "" {
		_, out, err := inheritedPipes(os.Getenv(envPipes))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, line)
		waitForSignal()
	}
	deathSignal = os.Getenv(envNoTie) == ""
	if os.Getenv(envRole) == "unheard-of" {
		Main() // the child's program is one that does not know the role
	}
	Main(testRoles...)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func waitForSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1) // never sent
	<-c
}

// testRoles are what the children of these tests can be.
var testRoles = []Role{
	{Name: "worker", Run: worker},
	{Name: "spinner", Run: func(ctx context.Context, ch *Channel, _ json.RawMessage) error {
		if err := ch.Ready(nil); err != nil {
			return err
		}
		for turns := new(atomic.Uint64); ; turns.Add(1) { // deaf to the request to stop
		}
	}},
	{Name: "silent", Run: func(ctx context.Context, ch *Channel, _ json.RawMessage) error {
		fmt.Fprintln(os.Stderr, "waiting for a licence")
		<-ctx.Done()
		return nil
	}},
	{Name: "early", Run: func(ctx context.Context, ch *Channel, spec json.RawMessage) error {
		var code int
		if err := json.Unmarshal(spec, &code); err != nil {
			return err
		}
		fmt.Println("no disk")
		os.Exit(code)
		return nil
	}},
	{Name: "refuse", Run: func(ctx context.Context, ch *Channel, _ json.RawMessage) error {
		return errors.New("this role refuses")
	}},
	{Name: "middle", Run: middle},
	{Name: "talkative", Run: func(ctx context.Context, ch *Channel, _ json.RawMessage) error {
		ch.Orphaned(func() {
			for range 10 {
				fmt.Fprintln(os.Stderr, "my parent is gone")
				fmt.Fprintln(os.Stdout, "and nobody hears it")
			}
			_ = os.WriteFile(os.Getenv(envWill), nil, 0o600) // its absence fails the test
		})
		if err := ch.Ready(nil); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}},
}

type workerInfo struct {
	Spec       json.RawMessage
	PID        int
	ParentPID  int
	GoMaxProcs int
	NumCPU     int
	Env        string

	DeathSignal int // that the kernel sends when the parent dies
}

func worker(ctx context.Context, ch *Channel, spec json.RawMessage) error {
	ch.Handle("echo", func(_ context.Context, arg json.RawMessage) (any, error) { return arg, nil })
	ch.Handle("fail", func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("told to fail") })
	ch.Handle("unencodable", func(context.Context, json.RawMessage) (any, error) { return func() {}, nil })
	ch.Handle("large", func(_ context.Context, arg json.RawMessage) (any, error) {
		var n int
		err := json.Unmarshal(arg, &n)
		return strings.Repeat("x", n), err
	})
	ch.Handle("panic", func(context.Context, json.RawMessage) (any, error) {
		panic("told to panic" + strings.Repeat("!", 16<<10) + "\nand more")
	})
	ch.Handle("noise", func(context.Context, json.RawMessage) (any, error) {
		for i := range 10_000 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		return nil, nil
	})
	ch.Handle("exit", func(_ context.Context, arg json.RawMessage) (any, error) {
		code, err := strconv.Atoi(string(arg))
		if err != nil {
			return nil, err
		}
		os.Exit(code)
		return nil, nil
	})
	ch.Handle("die", func(context.Context, json.RawMessage) (any, error) {
		return nil, syscall.Kill(os.Getpid(), syscall.SIGTERM)
	})
	ch.Handle("hang up", func(context.Context, json.RawMessage) (any, error) {
		return nil, ch.out.Close()
	})
	ch.Handle("babble", func(context.Context, json.RawMessage) (any, error) {
		_, err := ch.out.WriteString("this is not JSON\n")
		return nil, err
	})
	// hold waits until its caller gives up; held tells how many do so.
	holding := make(chan struct{}, 100)
	ch.Handle("hold", func(ctx context.Context, _ json.RawMessage) (any, error) {
		holding <- struct{}{}
		<-ctx.Done()
		<-holding
		return nil, ctx.Err()
	})
	ch.Handle("held", func(context.Context, json.RawMessage) (any, error) { return len(holding), nil })
	var deathSignal int32
	if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&deathSignal)), 0, 0, 0); err != nil {
		return err
	}
	err := ch.Ready(workerInfo{
		DeathSignal: int(deathSignal),
		Spec:        spec, PID: os.Getpid(), ParentPID: ch.ParentPID(),
		GoMaxProcs: runtime.GOMAXPROCS(0), NumCPU: runtime.NumCPU(), Env: os.Getenv("PROC_TEST_VALUE"),
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// middle starts a child of its own and tells its pid.
func middle(ctx context.Context, ch *Channel, spec json.RawMessage) error {
	var o Options
	if err := json.Unmarshal(spec, &o); err != nil {
		return err
	}
	child, err := Start(ctx, o)
	if err != nil {
		return err
	}
	if err := ch.Ready(child.PID()); err != nil {
		return err
	}
	<-ctx.Done()
	return child.Kill()
}

// leaveNothing fails the test if, when everything else of it is over, it has
// left a goroutine or a descriptor behind.
func leaveNothing(t *testing.T) {
	t.Helper()
	// The runtime's poller has descriptors of its own from the first pipe on.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), w.Close()))
	before := descriptors(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t)
		require.Equal(t, before, descriptors(t), "descriptors were left open")
	})
}

func descriptors(t *testing.T) []string {
	t.Helper()
	dir, err := os.Open("/proc/self/fd")
	require.NoError(t, err)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	require.NoError(t, err)
	var open []string
	for _, n := range names {
		if target, err := os.Readlink("/proc/self/fd/" + n); err == nil && n != strconv.Itoa(int(dir.Fd())) {
			open = append(open, n+" "+target)
		}
	}
	return open
}

// start starts a child that is gone when the test ends.
func start(t *testing.T, o Options) *Child {
	t.Helper()
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute // the machine may be busy
	}
	c, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Kill()) })
	return c
}

var _ io.Writer = (*tail)(nil)
