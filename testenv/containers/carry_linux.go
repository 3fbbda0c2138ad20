package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"netbench/internal/proc"
)

// roleCarrier is the role of the process that holds a server's container.
const roleCarrier = "container-carrier"

// carryRole passes the control channel of a server on to its container.
var carryRole = proc.Role{Name: roleCarrier, Carry: carry}

func carry(c proc.Cargo) error {
	var p plan
	if err := json.Unmarshal(c.Spec, &p); err != nil {
		return err
	}
	p.Env, p.CPUs = append(p.Env, c.Env...), c.CPUs
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	// Read from the beginning, to learn of the parent's end whatever happens.
	words := make(chan []byte, 1024)
	go func() {
		defer close(words)
		for {
			buffer := make([]byte, 16<<10)
			n, err := c.In.Read(buffer)
			if n > 0 {
				words <- buffer[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	said := &lastLine{to: os.Stderr}
	b, err := newBox(p, c.Out, said)
	if err != nil {
		return err
	}
	for {
		select {
		case word, alive := <-words:
			if !alive {
				return b.remove()
			}
			// An error means that it is about to end.
			_, _ = b.in.Write(word)
		case <-end:
			return errors.Join(errors.New("the container was to be killed"), b.remove())
		case <-b.ended:
			return errors.Join(p.verdict(b.code, said.text()), b.remove())
		}
	}
}

// verdict is nil for a container that ended with status 0.
func (p plan) verdict(code int64, said string) error {
	if code == 0 {
		return nil
	}
	err := fmt.Errorf("the container ended with exit status %d", code)
	if code == 128+int64(syscall.SIGKILL) && p.Limits.Memory > 0 {
		err = fmt.Errorf("%w: it was killed, as what needs more than its limit of %d bytes is", err, p.Limits.Memory)
	}
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// lastLine passes on what is written and remembers the last line of it.
type lastLine struct {
	to io.Writer

	mu   sync.Mutex
	tail []byte
}

func (l *lastLine) Write(p []byte) (int, error) {
	const most = 4 << 10
	l.mu.Lock()
	l.tail = append(l.tail, p...)
	l.tail = l.tail[max(0, len(l.tail)-most):]
	l.mu.Unlock()
	return l.to.Write(p)
}

func (l *lastLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.tail)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
