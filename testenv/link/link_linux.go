package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Addresses of the two ends, from the block that is set aside for measuring
// (RFC 2544, RFC 6890). Every link has the same: no link sees another, nor the
// machine's networks.
var (
	addressA = netip.MustParsePrefix("198.18.0.1/30")
	addressB = netip.MustParsePrefix("198.18.0.2/30")
)

// Link is a pair of hosts and what joins them.
type Link struct {
	a, b    *End
	ab, ba  *forwarder
	context context.Context // ends when the link is closed
	cancel  context.CancelFunc

	mu     sync.Mutex  // held while the forwarders are used
	closed bool        // they are not to be used any more
	detach func() bool // stops watching the caller's context

	closing  sync.Once
	closeErr error
}

// Supported returns nil if this process can have links, and the reason otherwise.
// It makes one to find out.
func Supported() error {
	l, err := New(context.Background(), Config{})
	if err != nil {
		return err
	}
	return l.Close()
}

// New makes a link. It is closed when ctx ends, if not before.
func New(ctx context.Context, c Config) (_ *Link, err error) {
	if c, err = c.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("link: not made: %w", err)
	}
	l := &Link{}
	l.context, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.a, err = newEnd(l.context, addressA, c.MTU); err != nil {
		return nil, err
	}
	if l.b, err = newEnd(l.context, addressB, c.MTU); err != nil {
		return nil, err
	}
	begin := time.Now()
	ab, err := newForwarder(l.a.device, l.b.device, newShaper(c.AToB, c.Seed, 0), begin)
	if err != nil {
		return nil, err
	}
	ba, err := newForwarder(l.b.device, l.a.device, newShaper(c.BToA, c.Seed, 1), begin)
	if err != nil {
		ab.release()
		return nil, err
	}
	ab.start()
	ba.start()
	l.ab, l.ba = ab, ba
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detach = context.AfterFunc(ctx, func() { l.Close() })
	return l, nil
}

// A is the one end.
func (l *Link) A() *End { return l.a }

// B is the other end.
func (l *Link) B() *End { return l.b }

// Change gives both directions another shape, one right after the other. What is on
// the wire already arrives as it would have, and what waits in a queue stays in it.
// The losses go on in the sequence of their seed.
func (l *Link) Change(aToB, bToA Shape) error {
	aToB, err := aToB.validate("AToB")
	if err != nil {
		return err
	}
	if bToA, err = bToA.validate("BToA"); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("link: change: %w", net.ErrClosed)
	}
	l.ab.change(aToB)
	l.ba.change(bToA)
	return nil
}

// Stats says what happened since the link was made. It fails when the link is
// closed.
func (l *Link) Stats() (Stats, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Stats{}, fmt.Errorf("link: statistics: %w", net.ErrClosed)
	}
	var s Stats
	var err error
	s.AToB, s.BToA = l.ab.counts(), l.ba.counts()
	if s.AToB.Missed, err = l.a.missed(); err != nil {
		return Stats{}, err
	}
	s.BToA.Missed, err = l.b.missed()
	return s, err
}

// missed is how many packets the device dropped because nobody read them.
func (e *End) missed() (uint64, error) {
	fs, err := procfs.NewFS(e.namespace.task)
	if err != nil {
		return 0, fmt.Errorf("link: read what the device dropped: %w", err)
	}
	devices, err := fs.NetDev()
	if err != nil {
		return 0, fmt.Errorf("link: read what the device dropped: %w", err)
	}
	line, ok := devices[deviceName]
	if !ok {
		return 0, fmt.Errorf("link: read what the device dropped: no device %s in %s/net/dev", deviceName, e.namespace.task)
	}
	return line.TxDropped, nil
}

// Close ends the link, the calls of Dial that go on, and all processes in its
// namespaces. Sockets that were opened through it are the caller's to close; they
// reach nobody any more, and hold their namespace until then. It returns what
// went wrong with the link while it ran, or in closing. It may be called again.
func (l *Link) Close() error {
	l.closing.Do(func() {
		l.mu.Lock()
		l.closed = true
		if l.detach != nil {
			l.detach()
		}
		l.mu.Unlock()
		l.cancel()
		l.closeErr = l.end()
	})
	return l.closeErr
}

// end ends what there is; after a failure in making the link that is not all.
func (l *Link) end() error {
	var errs []error
	for _, f := range []*forwarder{l.ab, l.ba} {
		if f != nil {
			errs = append(errs, f.stop())
		}
	}
	for _, e := range []*End{l.a, l.b} {
		if e != nil {
			errs = append(errs, e.close())
		}
	}
	return errors.Join(errs...)
}

func (e *End) close() error {
	unix.Close(e.device)
	return e.namespace.close()
}
