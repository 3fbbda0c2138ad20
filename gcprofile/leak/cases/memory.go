package cases

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"
)

// requestSize is the bytes that a request has with it, or leaves in a cache or a log.
const requestSize = 4 << 10

// bound is how many of them the cured versions keep.
const bound = 32

// deadlines answers requests, each of which has an hour.
type deadlines struct {
	cured   bool
	expired atomic.Int64
}

func newDeadlines(_ Size, cured bool) (Component, error) { return &deadlines{cured: cured}, nil }

func (d *deadlines) Do(context.Context) error {
	body := make([]byte, requestSize)
	timeout := time.AfterFunc(time.Hour, func() { d.expired.Add(int64(len(body))) })
	if d.cured {
		defer timeout.Stop()
	}
	body[0]++ // the answer
	return nil
}

func (d *deadlines) Close() error { return nil }

// fanOut asks several back ends for each request.
type fanOut struct {
	cured  bool
	server context.Context // lives as long as the server
	stop   context.CancelFunc
}

// backEnds are asked for each request.
const backEnds = 20

func newFanOut(_ Size, cured bool) (Component, error) {
	f := &fanOut{cured: cured}
	f.server, f.stop = context.WithCancel(context.Background())
	return f, nil
}

// call is one to a back end that has a limit in time.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func (f *fanOut) call() call {
	ctx, cancel := context.WithTimeout(f.server, time.Hour)
	return call{ctx, cancel}
}

func (f *fanOut) Do(context.Context) error {
	for range backEnds {
		c := f.call()
		err := c.ctx.Err()
		if f.cured {
			c.cancel()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close ends all contexts: this leak is one only as long as the server runs.
func (f *fanOut) Close() error {
	f.stop()
	return nil
}

// cache keeps answers by the whole address, of which there is no end.
type cache struct {
	cured   bool
	n       int
	answers map[string][]byte
	order   []string // the oldest first, of the cured version
}

func newCache(_ Size, cured bool) (Component, error) {
	return &cache{cured: cured, answers: map[string][]byte{}}, nil
}

func (c *cache) Do(context.Context) error {
	c.n++
	key := "/search?session=" + strconv.Itoa(c.n)
	if _, ok := c.answers[key]; ok {
		return errors.New("an answer to what was never asked")
	}
	c.answers[key] = make([]byte, requestSize)
	if c.cured {
		if len(c.order) == bound {
			delete(c.answers, c.order[0])
			c.order = append(c.order[:0], c.order[1:]...)
		}
		c.order = append(c.order, key)
	}
	return nil
}

func (c *cache) Close() error { return nil }

// audit is what happened, in memory, for the whole process.
var audit struct {
	all    [][]byte
	latest ring[[]byte]
}

// auditLog writes there.
type auditLog struct{ cured bool }

func newAuditLog(_ Size, cured bool) (Component, error) { return &auditLog{cured}, nil }

func (a *auditLog) Do(context.Context) error {
	entry := make([]byte, requestSize)
	if a.cured {
		audit.latest.put(entry, bound)
	} else {
		audit.all = append(audit.all, entry)
	}
	return nil
}

func (a *auditLog) Close() error {
	audit.all, audit.latest = nil, ring[[]byte]{}
	return nil
}
