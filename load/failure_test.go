package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spoiled is a connection of a server whose n-th reply is sent by spoil instead.
// If that returns an error, the server hangs up.
type spoiled struct {
	net.Conn
	n     int
	spoil func(c net.Conn, reply []byte) error
}

func (s *spoiled) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if s.n--; s.n == 0 {
		return len(b), s.spoil(s.Conn, b)
	}
	return s.Conn.Write(b)
}

var errHangUp = errors.New("the server hangs up")

// misdeeds are what a server may do wrong.
var misdeeds = []struct {
	name     string
	kind     ErrorKind
	answered int64 // requests that the spoiled reply answers all the same
	spoil    func(c net.Conn, reply []byte) error
}{
	{"wrong byte", MismatchError, 0, func(c net.Conn, reply []byte) error {
		bad := bytes.Clone(reply)
		bad[0] ^= 1
		_, err := c.Write(bad)
		return err
	}},
	{"unasked bytes", MismatchError, 1, func(c net.Conn, reply []byte) error {
		_, err := c.Write(bytes.Repeat(reply, 2))
		return err
	}},
	{"end within the reply", ShortError, 0, func(c net.Conn, reply []byte) error {
		_, err := c.Write(reply[:len(reply)-1])
		return errors.Join(err, errHangUp)
	}},
	{"end instead of the reply", ShortError, 0, func(net.Conn, []byte) error { return errHangUp }},
	{"reset", ResetError, 0, func(c net.Conn, _ []byte) error {
		return errors.Join(errHangUp, c.(*net.TCPConn).SetLinger(0)) // closing now resets
	}},
}

func TestEveryMisdeedIsCountedUnderItsName(t *testing.T) {
	const conns = 3
	for _, misdeed := range misdeeds {
		for proto, service := range services {
			for _, mode := range []Mode{Closed, Open, Connect} {
				t.Run(misdeed.name+"/"+string(proto)+"/"+string(mode), func(t *testing.T) {
					eachEngine(t, func(t *testing.T, kind EngineKind) {
						p, nth := bounded(mode), 3
						if mode == Connect {
							p.Requests, nth = conns, 1
						}
						p.Engine, p.Conns = kind, conns
						p.Targets = []Target{serve(t, proto, func(c net.Conn) {
							speak(service)(&spoiled{c, nth, misdeed.spoil})
						})}
						r := run(t, p)
						got := failures(r)
						if mode == Open {
							delete(got, TimeoutError.String()) // what was due when no connection was left
						}
						assert.Equal(t, map[string]int64{misdeed.kind.String(): conns}, got)
						assert.Equal(t, conns*(int64(nth)-1+misdeed.answered), r.Answered, "replies before are good")
						assert.EqualValues(t, conns, r.Lost)
						assert.Zero(t, r.Alive)
						assert.Contains(t, r.FirstError, misdeed.kind.String()+": ")
						assert.Equal(t, Valid{}, r.Valid)
						assert.NotEmpty(t, r.Reasons)
					})
				})
			}
		}
	}
}

// silent reads and never answers.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestARunEndsInTimeThoughTheServerNeverAnswers(t *testing.T) {
	const conns = 3
	for _, c := range []struct {
		mode     Mode
		window   time.Duration
		patience time.Duration // RequestTimeout
		longest  time.Duration // that the run may take, beside what a loaded host adds
	}{
		{Closed, 200 * time.Millisecond, 10 * time.Second, 400 * time.Millisecond},
		{Stream, 200 * time.Millisecond, 10 * time.Second, 400 * time.Millisecond},
		{Open, 200 * time.Millisecond, 10 * time.Second, 400 * time.Millisecond},
		{Connect, 200 * time.Millisecond, 10 * time.Second, 400 * time.Millisecond},
		{Closed, 10 * time.Second, 100 * time.Millisecond, 300 * time.Millisecond},
		{Idle, 200 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%s/%v", c.mode, c.patience), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := Plan{
					Targets: []Target{serve(t, EchoProtocol, silent)}, Engine: kind, Mode: c.mode, Conns: conns,
					Duration: c.window, RequestTimeout: c.patience, Grace: 200 * time.Millisecond,
				}
				var due int64 = conns
				if c.mode == Open {
					p.Rate, due = 100, 20
				}
				start := time.Now()
				r := run(t, p)
				assert.Less(t, time.Since(start), c.longest+time.Second)
				assert.Equal(t, map[string]int64{"timeout": due}, failures(r))
				assert.EqualValues(t, conns, r.Lost)
				assert.Zero(t, r.Requests)
				assert.Zero(t, r.Alive)
				assert.Equal(t, Valid{}, r.Valid)
			})
		})
	}
}

func TestARunEndsInTimeThoughTheServerReadsNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		held := make(chan struct{})
		target := serve(t, EchoProtocol, func(net.Conn) { <-held })
		t.Cleanup(func() { close(held) }) // before the server waits for its handlers
		start := time.Now()
		r := run(t, Plan{
			Targets: []Target{target}, Engine: kind, Conns: 2, Pipeline: 4, Size: 16 << 20,
			Duration: 100 * time.Millisecond, Grace: 100 * time.Millisecond,
		})
		assert.Less(t, time.Since(start), 3*time.Second)
		assert.Equal(t, map[string]int64{"timeout": 8}, failures(r))
		assert.EqualValues(t, 2, r.Lost)
		assert.Positive(t, r.BytesOut, "some were taken by the kernel")
		assert.Less(t, r.BytesOut, int64(8*16<<20))
	})
}

func TestRepliesAreAwaitedForTheGraceAfterTheWindow(t *testing.T) {
	for _, mode := range []Mode{Closed, Open} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				const service = 200 * time.Millisecond
				target := serve(t, EchoProtocol, func(c net.Conn) {
					b := make([]byte, 64)
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					<-time.After(service)
					if _, err := c.Write(b); err == nil {
						echo(c)
					}
				})
				p := Plan{Targets: []Target{target}, Engine: kind, Mode: mode, Conns: 1, Duration: 50 * time.Millisecond, Grace: 30 * time.Second}
				if mode == Open {
					p.Rate = 200
				}
				r := run(t, p)
				assert.Equal(t, noErrors, r.Errors)
				assert.EqualValues(t, 1, r.Alive)
				assert.Zero(t, r.Rate, "nothing completed in the window")
				if mode == Open {
					assert.EqualValues(t, 10, r.Requests, "those that were due, also those that found no free connection")
					assert.GreaterOrEqual(t, *r.Latency.Max, int64(service), "latency counts from when they were due")
				} else {
					assert.Zero(t, r.Requests)
					assert.EqualValues(t, 1, r.Answered)
				}
			})
		})
	}
}

func TestAServerThatIsNotThereIsBadInput(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := Target{Protocol: EchoProtocol, Network: "tcp", Address: l.Addr().String()}
	require.NoError(t, l.Close())
	missing := Target{Protocol: EchoProtocol, Network: "unix", Address: filepath.Join(t.TempDir(), "none")}
	for _, target := range []Target{refusing, missing} {
		for _, mode := range Modes {
			t.Run(target.Network+"/"+string(mode), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, kind EngineKind) {
					p := bounded(mode)
					p.Targets, p.Engine, p.Conns = []Target{target}, kind, 300
					start := time.Now()
					r, err := Run(t.Context(), p)
					assert.Nil(t, r)
					assertBadInput(t, err, target.Address)
					assert.Less(t, time.Since(start), 5*time.Second)
				})
			})
		}
	}
}

// assertBadInput checks that err tells in one line what is wrong with the plan.
func assertBadInput(t *testing.T, err error, says ...string) {
	t.Helper()
	require.ErrorIs(t, err, ErrInput)
	assert.NotContains(t, err.Error(), "\n")
	assert.NotContains(t, err.Error(), "%!", "a format is wrong")
	for _, s := range says {
		assert.Contains(t, err.Error(), s)
	}
}

func TestConnectionsThatCannotAllBeMadeAreLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		good := serve(t, EchoProtocol, echo)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		bad := Target{Protocol: EchoProtocol, Network: "tcp", Address: l.Addr().String()}
		require.NoError(t, l.Close())
		r := run(t, Plan{Targets: []Target{good, bad}, Engine: kind, Conns: 6, Duration: 50 * time.Millisecond})
		assert.Equal(t, map[string]int64{"dial": 3}, failures(r))
		assert.EqualValues(t, 3, r.Lost)
		assert.EqualValues(t, 3, r.Alive)
		assert.Positive(t, r.Requests)
		assert.Contains(t, r.FirstError, bad.Address)
		assert.Equal(t, Valid{}, r.Valid)
	})
}

func TestAServerThatHangsUpOnEveryoneLosesAll(t *testing.T) {
	for _, mode := range []Mode{Closed, Open, Stream, Idle} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := bounded(mode)
				p.Targets, p.Engine = []Target{serve(t, EchoProtocol, func(net.Conn) {})}, kind
				r := run(t, p)
				assert.EqualValues(t, p.Conns, r.Lost)
				assert.Zero(t, r.Requests)
				got := failures(r)
				delete(got, TimeoutError.String()) // what was due then
				for kind := range got {
					assert.Contains(t, []string{"short", "reset"}, kind)
				}
				assert.Equal(t, Valid{}, r.Valid)
			})
		})
	}
}

func TestConnectModeSurvivesServersThatGoAndComeBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		var cycles atomic.Int64
		target := serve(t, EchoProtocol, func(c net.Conn) {
			b := make([]byte, 13)
			if _, err := io.ReadFull(c, b); err == nil && cycles.Add(1)%2 == 0 {
				_, _ = c.Write(b) // a failure shows in the result
			}
		})
		p := bounded(Connect)
		p.Targets, p.Engine, p.Conns, p.Requests = []Target{target}, kind, 1, 20
		r := run(t, p)
		assert.EqualValues(t, 10, r.Requests)
		assert.EqualValues(t, 10, r.Lost)
		assert.Equal(t, map[string]int64{"short": 10}, failures(r))
		assert.InDelta(t, 0.5, r.Success, 1e-9)
	})
}

func TestClassifyNamesErrorsOfTheSystem(t *testing.T) {
	for _, c := range []struct {
		err  error
		want ErrorKind
	}{
		{syscall.ECONNRESET, ResetError},
		{syscall.EPIPE, ResetError},
		{fmt.Errorf("read: %w", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), ResetError},
		{io.EOF, ShortError},
		{io.ErrUnexpectedEOF, ShortError},
		{os.ErrDeadlineExceeded, TimeoutError},
		{syscall.ETIMEDOUT, TimeoutError},
		{context.DeadlineExceeded, TimeoutError},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, TimeoutError},
		{syscall.ECONNREFUSED, DialError},
		{syscall.EADDRNOTAVAIL, DialError},
		{errors.New("anything else"), DialError},
	} {
		assert.Equal(t, c.want, classify(c.err, DialError), c.err)
	}
	assert.Equal(t, MismatchError, classify(errors.New("anything else"), MismatchError))
}

func TestWantOfPortsAndDescriptorsIsTheHostsFault(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{syscall.EMFILE: true, syscall.EADDRNOTAVAIL: true, syscall.ECONNREFUSED: false} {
		err := dialError(Target{Address: "127.0.0.1:9"}, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)})
		require.ErrorIs(t, err, ErrInput)
		var host hostError
		assert.Equal(t, want, errors.As(fmt.Errorf("a: %w", err), &host), errno)
	}
}

func TestADialThatTakesTooLongIsATimeout(t *testing.T) {
	d := net.Dialer{Timeout: time.Nanosecond}
	_, err := d.Dial("tcp", "127.0.0.1:9")
	require.Error(t, err)
	assert.Equal(t, TimeoutError, classify(err, DialError))
}

func TestErrorKindsHaveDistinctNames(t *testing.T) {
	names := map[string]bool{}
	for k := range errorKinds {
		names[ErrorKind(k).String()] = true
	}
	assert.Len(t, names, errorKinds)
	assert.Len(t, noErrors, errorKinds, "zeros are listed too")
	counts := ErrorCounts{DialError: 1, StatusError: 4}
	assert.EqualValues(t, 5, counts.Total())
	assert.EqualValues(t, 4, counts.Map()["status"])
}
