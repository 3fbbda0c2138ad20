package cases

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// fetcher is a client of a web server.
type fetcher struct {
	cured  bool
	url    string
	server *http.Server
	served chan error
	client *http.Client
}

// bodySize is more than a client reads that is only interested in the first line.
const bodySize = 256 << 10

func newFetcher(_ Size, cured bool) (Component, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	body := make([]byte, bodySize)
	f := &fetcher{cured: cured, url: "http://" + l.Addr().String() + "/", served: make(chan error, 1), client: &http.Client{Transport: &http.Transport{}}}
	f.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }),
	}
	go func() { f.served <- f.server.Serve(l) }()
	return f, nil
}

func (f *fetcher) Do(ctx context.Context) error {
	r, err := http.NewRequest(http.MethodGet, f.url, nil)
	if err != nil {
		return err
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return err
	}
	if f.cured {
		defer func() {
			_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
			resp.Body.Close()
		}()
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", f.url, resp.Status)
	}
	var first [80]byte
	_, err = io.ReadFull(resp.Body, first[:])
	return err
}

// Close closes the server's connections, which ends the client's as well.
func (f *fetcher) Close() error {
	f.client.CloseIdleConnections()
	err := f.server.Close()
	if e := <-f.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// archiver reads files that it is told of, in one goroutine that lives as long as the
// server.
type archiver struct {
	dir   string
	files []string
	next  int
	jobs  chan string
	done  chan error
	ended chan struct{}
}

func newArchiver(_ Size, cured bool) (Component, error) {
	dir, err := os.MkdirTemp("", "netbench-leak-")
	if err != nil {
		return nil, err
	}
	a := &archiver{dir: dir, jobs: make(chan string), done: make(chan error), ended: make(chan struct{})}
	for i := range 10 {
		name := filepath.Join(dir, fmt.Sprintf("part-%d.dat", i))
		if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		a.files = append(a.files, name)
	}
	run := a.run
	if cured {
		run = a.runCured
	}
	go func() {
		defer close(a.ended)
		run()
	}()
	return a, nil
}

func (a *archiver) run() {
	for name := range a.jobs {
		f, err := os.Open(name)
		if err != nil {
			a.done <- err
			continue
		}
		//lint:ignore SA9001 this is the leak
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
		a.done <- err
	}
}

func (a *archiver) runCured() {
	for name := range a.jobs {
		a.done <- archive(name)
	}
}

func archive(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

func (a *archiver) Do(context.Context) error {
	a.jobs <- a.files[a.next%len(a.files)]
	a.next++
	return <-a.done
}

// Close ends the loop, and so runs what was deferred: this leak is one only as long as
// the server runs.
func (a *archiver) Close() error {
	close(a.jobs)
	<-a.ended
	return os.RemoveAll(a.dir)
}

// lineServer answers lines, with a goroutine per connection. Its clients send one line,
// read the answer, and are silent from then on, without closing: their hosts have
// gone. Only when the server hangs up do they end.
type lineServer struct {
	idle  time.Duration // 0: for ever
	l     net.Listener
	mu    sync.Mutex
	conns map[net.Conn]bool // the server's
	wg    sync.WaitGroup
}

func newLineServer(s Size, cured bool) (Component, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &lineServer{l: l, conns: map[net.Conn]bool{}}
	if cured {
		srv.idle = s.Idle
	}
	srv.wg.Go(srv.accept)
	return srv, nil
}

func (s *lineServer) accept() {
	for {
		conn, err := s.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // descriptors are short
			continue
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(conn) })
	}
}

func (s *lineServer) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	r := bufio.NewReader(conn)
	for {
		if s.idle > 0 {
			if err := conn.SetDeadline(time.Now().Add(s.idle)); err != nil {
				return
			}
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

// Do is a client that comes, asks, and goes silent.
func (s *lineServer) Do(context.Context) error {
	conn, err := net.Dial("tcp", s.l.Addr().String())
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, "hello\n")
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, len("hello\n")))
	}
	if err != nil {
		conn.Close()
		if s.idle > 0 {
			return nil // it was too slow for the deadline, on a host that is busy
		}
		return err
	}
	s.wg.Go(func() {
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	})
	return nil
}

// Close closes all connections.
func (s *lineServer) Close() error {
	err := s.l.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}
