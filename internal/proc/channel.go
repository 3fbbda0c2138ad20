package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// exitOrphan is the exit status of a child that lost its parent. Nobody is left
// to see it but whoever adopts the child.
const exitOrphan = 3

// Channel is the child's end of the control channel.
type Channel struct {
	role   string
	in     *bufio.Reader
	ctx    context.Context // ends at the parent's stop
	stop   context.CancelFunc
	parent int // pid

	write sync.Mutex // one line at a time
	out   *os.File

	mu       sync.Mutex
	orphaned func()
	ops      map[string]func(context.Context, json.RawMessage) (any, error)
	calls    map[uint64]context.CancelFunc // running
}

func newChannel(role string, in, out *os.File) *Channel {
	ctx, stop := context.WithCancel(context.Background())
	return &Channel{
		role: role, in: bufio.NewReader(in), out: out, ctx: ctx, stop: stop,
		ops:   map[string]func(context.Context, json.RawMessage) (any, error){},
		calls: map[uint64]context.CancelFunc{},
	}
}

// greet exchanges hellos and returns the role's specification.
func (ch *Channel) greet() (json.RawMessage, error) {
	mine := hello{Protocol: protocol, Min: minProtocol, PID: os.Getpid(), Role: ch.role}
	line, err := encodeBody(message{Kind: kindHello}, mine)
	if err != nil {
		return nil, err
	}
	if err := ch.send(line); err != nil {
		return nil, err
	}
	m, err := readMessage(ch.in)
	if err != nil {
		return nil, err
	}
	var theirs hello
	if m.Kind != kindHello || json.Unmarshal(m.Body, &theirs) != nil {
		return nil, fmt.Errorf("the parent began with %q, not with a hello", m.Kind)
	}
	if err := agree(theirs, mine); err != nil {
		return nil, err
	}
	ch.parent = theirs.PID
	if m, err = readMessage(ch.in); err != nil {
		return nil, err
	}
	if m.Kind != kindStart {
		return nil, fmt.Errorf("the parent sent %q, not a start", m.Kind)
	}
	return m.Body, nil
}

// ParentPID is the process id of the parent, as it said itself.
func (ch *Channel) ParentPID() int { return ch.parent }

// Handle makes f answer the operation op, from now on; a second f for the same
// op replaces the first. Each call runs f on a goroutine of its own, so f must
// be safe for concurrent use. Its result is sent back as JSON, its error as text
// (the parent gets a [*CallError]). ctx ends when the caller gave up or the
// parent asked the child to stop. Register before Ready: the parent cannot call
// earlier. A panic in f ends the child, as any panic would.
func (ch *Channel) Handle(op string, f func(ctx context.Context, arg json.RawMessage) (any, error)) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.ops[op] = f
}

// Orphaned makes f the last that this process does if its parent goes away. It is
// not called where the kernel kills the child with its parent: [Options.Untied].
// From there on this process outlives what it writes to its standard error, which
// was a pipe to the parent.
func (ch *Channel) Orphaned(f func()) {
	// A broken pipe there would end a Go program that is not told of the signal. It
	// is not ignored, as programs that this one starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.orphaned = f
}

// Ready tells the parent that this child can do its work; [Start] returns there,
// and [Child.Info] gives info, which must encode as JSON. Call it once.
func (ch *Channel) Ready(info any) error {
	line, err := encodeBody(message{Kind: kindReady}, info)
	if err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	return ch.send(line)
}

func (ch *Channel) send(line []byte) error {
	ch.write.Lock()
	defer ch.write.Unlock()
	if _, err := ch.out.Write(line); err != nil {
		return fmt.Errorf("control channel to the parent: %w", err)
	}
	return nil
}

// serve reads what the parent wants until the end of the channel, which is the
// end of the parent, and so of this process.
func (ch *Channel) serve() {
	for {
		m, err := readMessage(ch.in)
		if err != nil {
			if !isEOF(err) {
				fmt.Fprintf(os.Stderr, "role %q: %v\n", ch.role, err)
			}
			ch.mu.Lock()
			last := ch.orphaned
			ch.mu.Unlock()
			if last != nil {
				last()
			}
			os.Exit(exitOrphan)
		}
		switch m.Kind {
		case kindStop:
			ch.stop()
		case kindCancel:
			ch.mu.Lock()
			if cancel := ch.calls[m.ID]; cancel != nil {
				cancel()
			}
			ch.mu.Unlock()
		case kindCall:
			ctx, cancel := context.WithCancel(ch.ctx)
			ch.mu.Lock()
			f := ch.ops[m.Op]
			ch.calls[m.ID] = cancel
			ch.mu.Unlock()
			go ch.answer(ctx, m, f)
		default:
			fmt.Fprintf(os.Stderr, "role %q: the parent sent %q, which this version does not know\n", ch.role, m.Kind)
			os.Exit(exitOrphan)
		}
	}
}

func (ch *Channel) answer(ctx context.Context, call message, f func(context.Context, json.RawMessage) (any, error)) {
	defer func() {
		ch.mu.Lock()
		ch.calls[call.ID]() // cancel
		delete(ch.calls, call.ID)
		ch.mu.Unlock()
	}()
	var result any
	var err error
	if f == nil {
		err = ch.unknownOp()
	} else {
		result, err = f(ctx, call.Body)
	}
	reply := message{Kind: kindReply, ID: call.ID}
	var line []byte
	if err == nil {
		if line, err = encodeBody(reply, result); err != nil {
			err = fmt.Errorf("encode the result: %w", err)
		}
	}
	if err != nil {
		reply.Error = err.Error()
		if reply.Error == "" {
			reply.Error = "failed without saying why"
		}
		if line, err = encode(reply); err != nil {
			reply.Error = "failed, with an error text that is too long to send"
			line, _ = encode(reply) // a short string always encodes
		}
	}
	// If the parent is gone, serve sees that too and ends this process.
	_ = ch.send(line)
}

func (ch *Channel) unknownOp() error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	var names []string
	for op := range ch.ops {
		names = append(names, op)
	}
	if len(names) == 0 {
		return errors.New("unknown operation (this role has none)")
	}
	slices.Sort(names)
	return fmt.Errorf("unknown operation (known: %s)", strings.Join(names, ", "))
}
