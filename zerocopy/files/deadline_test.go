package files_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

// pipes is a listener whose connections stay in memory. They keep deadlines by the
// clock of a bubble, so that what these tests say is exact and no machine is too slow
// for it.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	dir      string // of the service
	dialled  int
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.accepted:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	mine, theirs := net.Pipe()
	p.accepted <- theirs
	p.dialled++
	return mine
}

// inBubble has a service used by a clock that jumps.
func inBubble(t *testing.T, c files.Config, use func(*testing.T, *pipes, *files.Service)) {
	c.Dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		service, err := files.New(c)
		require.NoError(t, err)
		p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{}), dir: c.Dir}
		server := files.NewServer(service)
		server.ErrorLog = log.New(io.Discard, "", 0)
		go func() { _ = server.Serve(p) }() // ends with the server
		defer func() {
			assert.NoError(t, server.Close())
			assert.NoError(t, service.Close())
			time.Sleep(time.Second) // net/http waits before it closes some connections
			assert.Empty(t, hidden(t, c.Dir))
		}()
		use(t, p, service)
	})
}

// announce sends what stands before the file in an upload of size bytes, and returns
// what stands behind it.
func announce(t *testing.T, nc net.Conn, name string, size int) (end string) {
	t.Helper()
	head := fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=%q\r\n\r\n", name)
	end = "\r\n--b--\r\n"
	_, err := fmt.Fprintf(nc, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n%s",
		len(head)+size+len(end), head)
	require.NoError(t, err)
	return end
}

// Progress counts, not the time that the whole takes.
func TestAnUploadThatIsSlowIsTaken(t *testing.T) {
	const block, blocks, stall = 4096, 20, time.Second
	inBubble(t, files.Config{Stall: stall, Buffer: block}, func(t *testing.T, p *pipes, service *files.Service) {
		content := noise(blocks * block)
		nc := p.dial()
		defer nc.Close()
		end := announce(t, nc, "a", len(content))
		for i := range blocks {
			time.Sleep(stall - time.Millisecond)
			_, err := io.WriteString(nc, content[i*block:(i+1)*block])
			require.NoError(t, err)
		}
		time.Sleep(stall - time.Millisecond)
		_, err := io.WriteString(nc, end)
		require.NoError(t, err)
		reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
		require.NoError(t, err)
		defer reply.Body.Close()
		assert.Equal(t, http.StatusCreated, reply.StatusCode)
		assert.EqualValues(t, 1, service.Stats().Uploads)
	})
}

// However the bytes of a block are spread over the time, they have come when it is
// over, or the client is told.
func TestABlockThatIsLateIsAnsweredInTime(t *testing.T) {
	const block, stall = 4096, time.Second
	for _, pieces := range []int{1, 10, 1000} {
		t.Run(fmt.Sprintf("%d pieces", pieces), func(t *testing.T) {
			inBubble(t, files.Config{Stall: stall, Buffer: block}, func(t *testing.T, p *pipes, _ *files.Service) {
				nc := p.dial()
				defer nc.Close()
				announce(t, nc, "a", 1<<20)
				begun := time.Now()
				go func() {
					for range pieces {
						// A block less what announce has sent of it.
						if _, err := io.WriteString(nc, strings.Repeat("x", (block-100)/pieces)); err != nil {
							return
						}
						time.Sleep(stall / time.Duration(pieces))
					}
				}()
				reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
				require.NoError(t, err)
				defer reply.Body.Close()
				assert.Equal(t, http.StatusRequestTimeout, reply.StatusCode)
				assert.Equal(t, stall, time.Since(begun))
			})
		})
	}
}

func TestManyRequestsOfAConnectionEachHaveTheirOwnDeadlines(t *testing.T) {
	const stall = time.Second
	inBubble(t, files.Config{Stall: stall}, func(t *testing.T, p *pipes, service *files.Service) {
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		for range 10 {
			kind, body := form(t, file{"a", "hello"})
			reply, err := client.Post("http://pipe/upload", kind, body)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, reply.Body)
			require.NoError(t, err)
			require.NoError(t, reply.Body.Close())
			require.Equal(t, http.StatusCreated, reply.StatusCode)
			time.Sleep(stall / 2) // deadlines of the exchange before pass during the next
			reply, err = client.Get("http://pipe/a")
			require.NoError(t, err)
			got, err := io.ReadAll(reply.Body)
			require.NoError(t, err)
			require.NoError(t, reply.Body.Close())
			require.Equal(t, "hello", string(got))
			time.Sleep(59 * time.Second) // and while the connection waits
		}
		assert.Equal(t, 1, p.dialled, "one connection did all of it")
		assert.EqualValues(t, 10, service.Stats().Downloads)
	})
}

func TestAnAnswerWaitsAsLongAsItMay(t *testing.T) {
	const stall = time.Second
	for name, c := range map[string]struct {
		late time.Duration
		cut  int64
	}{
		"taken in time": {stall - time.Millisecond, 0},
		"taken late":    {stall + time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, files.Config{Stall: stall}, func(t *testing.T, p *pipes, service *files.Service) {
				require.NoError(t, os.WriteFile(filepath.Join(p.dir, "a"), []byte(noise(1<<20)), 0o600))
				nc := p.dial()
				defer nc.Close()
				_, err := io.WriteString(nc, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				require.NoError(t, err)
				time.Sleep(c.late)
				got, err := io.Copy(io.Discard, nc)
				require.NoError(t, err)
				assert.Equal(t, c.cut == 0, got > 1<<20, "%d bytes came", got)
				synctest.Wait()
				assert.Equal(t, c.cut, service.Stats().Cut)
				assert.Equal(t, 1-c.cut, service.Stats().Downloads)
			})
		})
	}
}
