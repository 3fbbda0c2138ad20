package conditions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/counters"
	"netbench/internal/cpu"
	"netbench/internal/ptree"
	"netbench/testenv"
)

const (
	// probes is the number of connections by which loops are counted. That a
	// server with two loops gives all of them to one, if it does so at random,
	// has a probability of 3 in 100,000.
	probes = 16

	// attempts is how often the size of a read is looked at, should a thread read
	// that was made after the look began.
	attempts = 3

	// limit bounds one look at a server.
	limit = 20 * time.Second
)

// request is understood by the services that answer text: echo, line and HTTP.
const request = "GET / HTTP/1.1\r\nHost: conditions\r\n\r\n"

// Of returns the conditions under which a server on TCP serves. It opens and
// closes some connections, on each of which it exchanges one request: the server
// has to answer it, as echo, line and http do. The size of reads is known of
// echo only. The server is stopped for a moment, so it must not be under load.
func Of(ctx context.Context, server *testenv.Server) (Conditions, error) {
	c := Conditions{Model: server.Info().Stats.Model, GoMaxProcs: server.Info().GoMaxProcs}
	if err := c.observe(ctx, server); err != nil {
		return Conditions{}, fmt.Errorf("conditions of %s (pid %d): %w", c.Model, server.PID(), err)
	}
	return c, nil
}

func (c *Conditions) observe(ctx context.Context, server *testenv.Server) error {
	if server.Network() != "tcp" {
		return fmt.Errorf("it listens on %s (want tcp)", server.Network())
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var clients []*net.TCPConn
	defer func() {
		for _, nc := range clients {
			_ = nc.Close()
		}
	}()
	echoes := false
	for range probes {
		nc, err := dial(ctx, server)
		if err != nil {
			return err
		}
		clients = append(clients, nc)
		if echoes, err = exchange(nc); err != nil {
			return err
		}
	}
	// Descriptors are held for a moment only: while they are, a connection that
	// the server closes is not closed.
	tree, err := openTree(server.PID())
	if err != nil {
		return err
	}
	err = c.inspect(tree, clients)
	if err := errors.Join(err, tree.close()); err != nil {
		return err
	}
	cpus, err := cpu.Thread(server.PID())
	if err != nil {
		return err
	}
	c.CPUs = cpu.Format(cpus)
	if !echoes {
		c.NoReadSize = "the service does not echo"
		return nil
	}
	return c.measureRead(server, clients[0])
}

func dial(ctx context.Context, server *testenv.Server) (*net.TCPConn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(ctx, "tcp", server.Addr())
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return nc.(*net.TCPConn), nc.SetDeadline(deadline)
}

// exchange makes one request and tells whether the answer is an echo of it.
func exchange(nc *net.TCPConn) (echoes bool, err error) {
	if _, err := io.WriteString(nc, request); err != nil {
		return false, err
	}
	answer := make([]byte, 4<<10)
	n := 0
	for n < len(request) && strings.HasPrefix(request, string(answer[:n])) {
		k, err := nc.Read(answer[n:])
		n += k
		if err != nil {
			return false, fmt.Errorf("it does not answer %q: %w", request, err)
		}
	}
	return string(answer[:n]) == request, nil
}

// inspect reads what the kernel knows about the sockets and the processes.
func (c *Conditions) inspect(tree *tree, clients []*net.TCPConn) error {
	c.Processes = len(tree.processes)
	loops := map[string]bool{}
	for i, nc := range clients {
		s, err := tree.accepted(nc)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := c.readAccepted(s.fd); err != nil {
				return err
			}
		}
		for _, set := range s.process.sets {
			if set.watches(s.number) {
				loops[fmt.Sprint(s.process.pid, " ", set.number)] = true
			}
		}
	}
	for _, p := range tree.processes {
		threads, err := ptree.Threads(p.pid)
		if err != nil {
			return err
		}
		c.Threads += len(threads)
		c.EpollSets += len(p.sets)
		c.Rings += p.rings
	}
	if c.Loops = len(loops); c.Loops == 0 {
		c.Loops = c.Rings
	}
	return c.readListeners(tree.listeners(clients[0].RemoteAddr().(*net.TCPAddr).Port))
}

// measureRead lets a block wait for the stopped server, and looks at how much of
// it one read takes. Where that cannot be watched, it is unknown.
func (c *Conditions) measureRead(server *testenv.Server, nc *net.TCPConn) error {
	for range attempts {
		var failed error
		n, err := counters.LargestRead(server.PID(), func() error {
			failed = exchangeBlock(server, nc)
			return failed
		})
		if failed != nil {
			return failed
		}
		if err == nil {
			c.ReadSize, c.NoReadSize = n, ""
			return nil
		}
		c.NoReadSize = err.Error()
		if !errors.Is(err, counters.ErrNoReads) {
			return nil
		}
	}
	return nil
}

func exchangeBlock(server *testenv.Server, nc *net.TCPConn) error {
	if err := server.Freeze(); err != nil {
		return err
	}
	block := make([]byte, Block)
	_, err := nc.Write(block)
	if err == nil {
		err = arrived(nc)
	}
	if err := errors.Join(err, server.Thaw()); err != nil {
		return err
	}
	_, err = io.ReadFull(nc, block)
	return err
}

// arrived waits until the peer's kernel has what it takes of what was sent: all,
// or a full window.
func arrived(nc *net.TCPConn) error {
	raw, err := nc.SyscallConn()
	if err != nil {
		return err
	}
	last, same := -1, 0
	for same < 3 {
		var unsent int
		var inner error
		if err := raw.Control(func(fd uintptr) { unsent, inner = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil || inner != nil {
			return errors.Join(err, inner)
		}
		if unsent == 0 {
			return nil
		}
		if unsent != last {
			last, same = unsent, 0
		}
		same++
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}
