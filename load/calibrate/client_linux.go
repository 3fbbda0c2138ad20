package calibrate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"netbench/internal/cpu"
)

// client is a running C client. It ends when its standard input does, so also
// when this process dies.
type client struct {
	cmd   *exec.Cmd
	end   context.CancelFunc // kills it
	to    io.WriteCloser
	from  *bufio.Reader
	said  bytes.Buffer // on standard error
	ended bool
	err   error // how it ended
}

// answer is what the C client says about one run.
type answer struct {
	requests     int64
	elapsed, cpu int64 // ns
	p50, p99     int64 // ns, of all runs so far
}

// startClient starts the program at path on cpus and waits until it is connected.
func startClient(ctx context.Context, path, addr string, conns, size int, cpus []int) (*client, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	ctx, end := context.WithCancel(ctx)
	c := &client{end: end, cmd: exec.CommandContext(ctx, path, host, port, strconv.Itoa(conns), strconv.Itoa(size))}
	c.cmd.Stderr = &c.said
	c.cmd.WaitDelay = time.Second
	from, err := c.cmd.StdoutPipe()
	if err == nil {
		c.to, err = c.cmd.StdinPipe()
	}
	if err == nil {
		c.from = bufio.NewReader(from)
		err = cpu.RunOn(cpus, c.cmd.Start)
	}
	if err != nil {
		end()
		return nil, fmt.Errorf("start the C client: %w", err)
	}
	line, err := c.line()
	if err == nil && line != "ready" {
		err = errors.Join(fmt.Errorf("the C client said %q instead of that it is ready", line), c.close())
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// line reads a line. Without one, the client has failed or was killed.
func (c *client) line() (string, error) {
	line, err := c.from.ReadString('\n')
	if err == nil {
		return strings.TrimSpace(line), nil
	}
	if err := c.close(); err != nil {
		return "", err
	}
	return "", errors.New("the C client ended before it was asked to")
}

// run has the client make so many requests, within bound.
func (c *client) run(ctx context.Context, requests int64, bound time.Duration) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	if _, err := fmt.Fprintf(c.to, "run %d %d\n", requests, bound.Milliseconds()); err != nil {
		return answer{}, errors.Join(fmt.Errorf("tell the C client to run: %w", err), c.close())
	}
	line, err := c.line()
	if err != nil {
		return answer{}, err
	}
	var a answer
	if _, err := fmt.Sscanf(line, "%d %d %d %d %d", &a.requests, &a.elapsed, &a.cpu, &a.p50, &a.p99); err != nil {
		return answer{}, fmt.Errorf("the C client answered %q: %w", line, err)
	}
	if a.requests != requests {
		return answer{}, fmt.Errorf("the C client made %d of the %d requests of a slice within %v", a.requests, requests, bound)
	}
	return a, nil
}

// close ends the client, and returns how it failed if it did.
func (c *client) close() error {
	if c.ended {
		return c.err
	}
	c.ended = true
	_ = c.to.Close() // it may have ended already
	kill := time.AfterFunc(5*time.Second, c.end)
	err := c.cmd.Wait()
	kill.Stop()
	c.end()
	if err != nil {
		c.err = fmt.Errorf("the C client: %w", err)
		if said := strings.TrimSpace(c.said.String()); said != "" {
			c.err = fmt.Errorf("the C client: %w: %s", err, said)
		}
	}
	return c.err
}
