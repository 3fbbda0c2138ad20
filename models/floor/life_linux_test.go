package floor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

func TestSlowReadersCostBoundedMemoryAndGetEverything(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 1, SendBuffer: 128 << 10})
		before := snapshot(t, s)
		const conns, size = 8, 4 << 20
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		wrote := make(chan error, conns)
		var slow []*net.TCPConn
		for range conns {
			nc := dial(t, s)
			slow = append(slow, nc)
			go func() {
				_, err := nc.Write(sent)
				wrote <- err
			}()
		}
		eventually(t, s, func(st models.Stats) bool { return st.Paused >= conns }, "reads are paused")
		// Whoever reads is served meanwhile.
		fast := dial(t, s)
		for i := range 100 {
			exchange(t, fast, fmt.Sprintf("request %d", i))
		}
		during := snapshot(t, s)
		assert.Less(t, during.Memory.Anonymous, before.Memory.Anonymous+6<<20, "of %d MiB", conns*size>>20)
		for _, nc := range slow {
			got := make([]byte, size)
			_, err := io.ReadFull(nc, got)
			require.NoError(t, err)
			require.True(t, bytes.Equal(sent, got), "in order, without a gap")
			require.NoError(t, <-wrote)
		}
	})
}

func TestConnectionsBeyondMaxConnsWaitInTheBacklog(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 2, MaxConns: 3})
		var served []*net.TCPConn
		for range 3 {
			nc := dial(t, s)
			exchange(t, nc, "first")
			served = append(served, nc)
		}
		waiting := dial(t, s) // the kernel accepts it
		_, err := io.WriteString(waiting, "later")
		require.NoError(t, err)
		exchange(t, served[0], "still served")
		assert.EqualValues(t, 3, snapshot(t, s).Server.Accepted, "the fourth waits")
		require.NoError(t, served[1].Close())
		reply := make([]byte, 5)
		_, err = io.ReadFull(waiting, reply)
		require.NoError(t, err, "there is room for it now")
		assert.Equal(t, "later", string(reply))
		assert.EqualValues(t, 4, snapshot(t, s).Server.Accepted)
	})
}

func TestConnectionsBeyondMaxConnsAreRejectedIfAskedFor(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 1, MaxConns: 1, OnLimit: models.Reject})
		first := dial(t, s)
		exchange(t, first, "first")
		_, err := dial(t, s).Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "closed without a byte")
		eventually(t, s, func(st models.Stats) bool { return st.Rejected == 1 && st.Accepted == 1 }, "counted")
		exchange(t, first, "again")
	})
}

func TestIdleConnectionsAreClosedAndBusyOnesAreNot(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		const timeout = 300 * time.Millisecond
		s := start(t, model, models.Config{Loops: 2, IdleTimeout: timeout})
		busy, idle := dial(t, s), dial(t, s)
		exchange(t, idle, "hello")
		began := time.Now()
		closed := make(chan time.Duration, 1)
		go func() {
			_, _ = idle.Read(make([]byte, 1))
			closed <- time.Since(began)
		}()
		for {
			exchange(t, busy, "hello")
			select {
			case after := <-closed:
				// The clock here may be read a little after the server's last look.
				assert.Greater(t, after, timeout*9/10)
				assert.EqualValues(t, 1, snapshot(t, s).Server.IdleClosed)
				return
			case <-time.After(timeout / 20):
			}
		}
	})
}

func TestStopDrainsWhatHasArrived(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 2, MaxConns: 6})
		idle := dial(t, s)
		exchange(t, idle, "idle")
		sent := bytes.Repeat([]byte("drain me "), 5000) // fits into what the kernel takes for a frozen server
		var busy []*net.TCPConn
		require.NoError(t, s.Freeze())
		for range 8 { // more than MaxConns: two more wait in the backlog
			nc := dial(t, s)
			busy = append(busy, nc)
			_, err := nc.Write(sent)
			require.NoError(t, err)
		}
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			ended <- s.Stop(ctx) // which thaws it
		}()
		for _, nc := range busy {
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.True(t, bytes.Equal(sent, got), "%d of %d bytes", len(got), len(sent))
			nc.Close()
		}
		_, err := idle.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		require.NoError(t, <-ended)
		_, err = net.Dial("tcp", s.Addr())
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestStopCutsAPeerThatDoesNotRead(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
			Model: model, Program: build(t, model), Service: "echo", StartTimeout: time.Minute,
			Config: models.Config{Loops: 1, SendBuffer: 16 << 10},
		})
		require.NoError(t, err)
		nc := dial(t, s)
		require.NoError(t, nc.SetReadBuffer(16<<10)) // so that much more is read than can be answered
		go func() { _, _ = nc.Write(make([]byte, 32<<20)) }()
		eventually(t, s, func(st models.Stats) bool { return st.Paused > 0 }, "stuck")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		assert.ErrorContains(t, s.Stop(ctx), "not drained in time")
		<-s.Done()
		assert.NoError(t, s.Err(), "the program ended by itself")
	})
}

func TestKillLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: model, Program: build(t, model), Service: "echo", StartTimeout: time.Minute})
		require.NoError(t, err)
		exchange(t, dial(t, s), "hello")
		require.NoError(t, s.Kill())
		assert.ErrorIs(t, syscall.Kill(s.PID(), 0), syscall.ESRCH)
		// The kernel takes a ring apart after the process has gone.
		require.Eventually(t, func() bool {
			nc, err := net.Dial("tcp", s.Addr())
			if err == nil {
				nc.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		}, patience, time.Millisecond)
	})
}

func TestDescriptorsOfClosedConnectionsAreClosed(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 2})
		before := snapshot(t, s)
		for range 3 {
			var conns []*net.TCPConn
			for range 50 {
				nc := dial(t, s)
				exchange(t, nc, "hello")
				conns = append(conns, nc)
			}
			assert.Equal(t, before.FDs+50, snapshot(t, s).FDs, "one each")
			for i, nc := range conns {
				if i%2 == 0 {
					require.NoError(t, nc.SetLinger(0)) // ends by a reset
				}
				require.NoError(t, nc.Close())
			}
			eventually(t, s, func(st models.Stats) bool { return st.Active == 0 }, "all gone")
		}
		after := snapshot(t, s)
		assert.Equal(t, before.FDs, after.FDs)
		assert.Equal(t, before.Threads, after.Threads)
		assert.EqualValues(t, 150, after.Server.Accepted)
		assert.EqualValues(t, 75, after.Server.ConnErrors, "resets are errors, ends are not")
		assert.EqualValues(t, 150*len("hello"), after.Server.BytesIn)
	})
}

func TestAnIdleServerTakesNoCPUTime(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 2, IdleTimeout: models.NoLimit})
		nc := dial(t, s)
		exchange(t, nc, "hello")
		require.NoError(t, s.Quiesce(t.Context()))
		before, err := s.CPU()
		require.NoError(t, err)
		timer := time.NewTimer(200 * time.Millisecond) // the time that is measured
		<-timer.C
		after, err := s.CPU()
		require.NoError(t, err)
		assert.Less(t, after-before, 2*time.Millisecond)
		exchange(t, nc, "hello")
	})
}

func TestDeathOfTheParentEndsTheServer(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		program := build(t, model)
		in, out, pid := bare(t, program)
		say(t, out, `{"kind":"start","body":{"service":"echo","config":{"Loops":1}}}`)
		hear(t, in, `"kind":"hello"`)
		hear(t, in, `"kind":"ready"`)
		require.NoError(t, out.Close()) // as it is when the parent has died
		var status syscall.WaitStatus
		require.Eventually(t, func() bool {
			got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
			return err == nil && got == pid
		}, patience, time.Millisecond)
		assert.Equal(t, 3, status.ExitStatus())
	})
}

// switches reads how often each thread of a process has waited.
func switches(t *testing.T, pid int) map[string]int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	all := map[string]int{}
	for _, file := range files {
		status, err := os.ReadFile(file)
		require.NoError(t, err)
		_, after, found := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		require.True(t, found)
		var n int
		_, err = fmt.Sscan(after, &n)
		require.NoError(t, err)
		all[file] = n
	}
	return all
}

func TestConnectionsAreDealtOutToAllLoopsInTurn(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		const loops, exchanges = 4, 20
		s := start(t, model, models.Config{Loops: loops, IdleTimeout: models.NoLimit})
		var conns []*net.TCPConn
		for range 2 * loops {
			nc := dial(t, s)
			exchange(t, nc, "hello")
			conns = append(conns, nc)
		}
		served := map[string]int{}
		for _, nc := range conns {
			require.NoError(t, s.Quiesce(t.Context()))
			before := switches(t, s.PID())
			assert.Len(t, before, loops+1, "threads: one for each loop and one for the control channel")
			for range exchanges {
				exchange(t, nc, "hello")
				require.NoError(t, s.Quiesce(t.Context()))
			}
			for thread, n := range switches(t, s.PID()) {
				if n-before[thread] >= exchanges {
					served[thread]++
				}
			}
		}
		assert.Len(t, served, loops)
		for thread, n := range served {
			assert.Equal(t, 2, n, thread)
		}
	})
}

func TestNobodyIsForgottenWhenManyComeAndGoAtMaxConns(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 3, MaxConns: 5})
		target, err := load.ParseTarget(t.Context(), "tcp://"+s.Addr())
		require.NoError(t, err)
		r, err := load.Run(t.Context(), load.Plan{
			Targets: []load.Target{target}, Mode: load.Connect, Conns: 40, Requests: 2000, Duration: patience, Pause: time.Millisecond,
		})
		require.NoError(t, err)
		assert.EqualValues(t, 2000, r.Answered)
		assert.Zero(t, r.Lost)
		eventually(t, s, func(st models.Stats) bool { return st.Active == 0 }, "all have gone")
	})
}
