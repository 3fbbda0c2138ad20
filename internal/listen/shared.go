package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"netbench/internal/cpu"
	"netbench/models"
)

// Shared opens n listeners that share the address that cfg, which is valid, asks
// for. With o.Steer the i-th of them is preferred for connections whose packets
// the i-th CPU of this process's set handles, beginning anew after the last CPU;
// o.IncomingCPU is not looked at.
//
// Others of the same user who share the address may listen on it already, or join
// later: see Hold.
func Shared(cfg models.Config, o Options, n int) (opened []Listener, err error) {
	if cfg.Network == "unix" {
		return nil, errUnix(cfg)
	}
	o.Share = true
	var cpus []int
	if o.Steer {
		if cpus, err = steeringCPUs(); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Model, err)
		}
	}
	for i := range n {
		if o.Steer {
			o.IncomingCPU = cpus[i%len(cpus)]
		}
		l, err := Open(cfg, o)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return nil, err
		}
		opened = append(opened, l)
		cfg.Address = l.Addr().String() // the first one has chosen the port
	}
	return opened, nil
}

// steeringCPUs is the set of CPUs of this process, as of now.
func steeringCPUs() ([]int, error) {
	cpus, err := cpu.Thread(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, Unsupported(errSteer)
	}
	return cpus, err
}

var errSteer = errors.New("steering connections by the CPU that handles their packets needs Linux")

// errUnix says that a Unix socket's address cannot be shared.
func errUnix(cfg models.Config) error {
	return Unsupported(&models.ConfigError{
		Field: "Network", Value: cfg.Network, Want: "tcp, tcp4 or tcp6: a Unix socket's address cannot be shared",
	})
}

// Waiter waits for a listener's backlog to hold a connection, without accepting
// it. It costs a descriptor.
type Waiter struct {
	file *os.File
	raw  syscall.RawConn
}

// NewWaiter makes a waiter for a TCP listener.
func NewWaiter(l Listener) (*Waiter, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Waiter{file, raw}, nil
}

// Wait returns when there is a connection, or with an error after Wake or Close.
func (w *Waiter) Wait() error {
	return w.raw.Read(hasInput)
}

func hasInput(fd uintptr) bool {
	ready, err := Readable(int(fd))
	return ready || err != nil
}

// Wake ends Wait, now and for ever.
func (w *Waiter) Wake() { _ = w.file.SetReadDeadline(longAgo) }

// Close releases the descriptor and ends Wait.
func (w *Waiter) Close() error { return w.file.Close() }
