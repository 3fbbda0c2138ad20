package strategies_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/models/goroutine"
	"netbench/pools"
	"netbench/testenv"
	"netbench/testenv/containers"
)

func TestMain(m *testing.M) {
	testenv.Main(goroutine.Models(), containers.Use()...) // services have a keeper, and the HTTP server is a child
	goleak.VerifyTestMain(m)
}

// Times of the server that the tests pool connections to.
const (
	dialling  = 10 * time.Millisecond
	answering = time.Millisecond
)

// server is one whose connections can be killed, and which can stand still.
type server struct {
	mu      sync.Mutex
	age     int           // connections of an earlier one are dead
	moving  chan struct{} // closed while it does not stand still
	refuses bool
	keeps   int // idle connections that pools keep at most; 0: all
	silent  bool
	pools   int // open ones
}

func newServer() *server {
	s := &server{moving: make(chan struct{})}
	close(s.moving)
	return s
}

// restart kills all connections.
func (s *server) restart(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age++
	return nil
}

// stall has nothing answered for a while.
func (s *server) stall(_ context.Context, d time.Duration) error {
	s.mu.Lock()
	s.moving = make(chan struct{})
	moving := s.moving
	s.mu.Unlock()
	time.Sleep(d)
	close(moving)
	return nil
}

// wait is until the server has done something that takes so long.
func (s *server) wait(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	moving := s.moving
	s.mu.Unlock()
	select {
	case <-moving:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.age
}

func (s *server) Name() string { return "fake" }

func (s *server) Open(_ context.Context, size int) (pools.Pool, error) {
	if size > 100 {
		return nil, fmt.Errorf("size is %d (the server permits 100)", size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools++
	return &pool{server: s, size: size, slots: make(chan struct{}, size)}, nil
}

// pool is one that finds out that a connection is dead by using it.
type pool struct {
	server *server
	size   int
	slots  chan struct{}

	mu     sync.Mutex
	idle   []int // ages of idle connections, the newest last
	dials  int64
	closed bool
}

var errDead = errors.New("connection reset")

func (p *pool) get(ctx context.Context) (age int, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		age, p.idle = p.idle[n-1], p.idle[:n-1]
		p.mu.Unlock()
		return age, nil
	}
	p.dials++
	p.mu.Unlock()
	if err := p.server.wait(ctx, dialling); err != nil {
		<-p.slots
		return 0, err
	}
	return p.server.now(), nil
}

func (p *pool) put(age int) {
	p.mu.Lock()
	if keeps := p.server.keeps; keeps == 0 || len(p.idle) < keeps {
		p.idle = append(p.idle, age)
	}
	p.mu.Unlock()
	<-p.slots
}

func (p *pool) Do(ctx context.Context) error {
	age, err := p.get(ctx)
	if err != nil {
		return err
	}
	if age != p.server.now() {
		<-p.slots // it is dropped
		return errDead
	}
	if err := p.server.wait(ctx, answering); err != nil {
		<-p.slots
		return err
	}
	p.put(age)
	return nil
}

func (p *pool) Warm(ctx context.Context, n int) error {
	if p.server.refuses {
		return errors.New("connection refused")
	}
	var ages []int
	for range n {
		age, err := p.get(ctx)
		if err != nil {
			return err
		}
		ages = append(ages, age)
	}
	for _, age := range ages {
		p.put(age)
	}
	return nil
}

func (p *pool) Stats() pools.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server.silent {
		return pools.Stats{Open: pools.Absent, InUse: pools.Absent, Idle: pools.Absent, Dials: pools.Absent}
	}
	return pools.Stats{Max: p.size, Open: len(p.idle) + len(p.slots), InUse: len(p.slots), Idle: len(p.idle), Dials: p.dials}
}

func (p *pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.server.mu.Lock()
		p.server.pools--
		p.server.mu.Unlock()
	}
	return nil
}
