package files_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

func escape(name string) string { return url.QueryEscape(name) }

func TestAnUploadThatStallsIsAnsweredWith408(t *testing.T) {
	s := serve(t, place{Config: files.Config{Stall: 500 * time.Millisecond, Buffer: 4096}})
	for name, sent := range map[string]string{"in the file": "hello", "before its first byte": ""} {
		t.Run(name, func(t *testing.T) {
			nc, _ := beginUpload(t, s.addr, "a", 1<<20)
			_, err := io.WriteString(nc, sent)
			require.NoError(t, err)
			in := bufio.NewReader(nc)
			reply, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			body, err := io.ReadAll(reply.Body)
			require.NoError(t, err)
			assertRefused(t, http.StatusRequestTimeout, "less than 4096 bytes came within 500ms", reply, string(body))
			assert.True(t, reply.Close, "the connection is not used again")
			_, err = in.ReadByte()
			assert.Error(t, err, "it is closed")
			assert.Empty(t, hidden(t, s.dir))
		})
	}
}

// A client that sends a byte now and then would hold a connection for ever if any
// progress were enough.
func TestAnUploadThatTricklesIsCut(t *testing.T) {
	s := serve(t, place{Config: files.Config{Stall: 300 * time.Millisecond, Buffer: 4096}})
	nc, _ := beginUpload(t, s.addr, "a", 1<<20)
	answered := make(chan *http.Response, 1)
	go func() {
		reply, _ := http.ReadResponse(bufio.NewReader(nc), nil)
		answered <- reply
	}()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case reply := <-answered:
			require.NotNil(t, reply, "the connection ended without an answer")
			defer reply.Body.Close()
			assert.Equal(t, http.StatusRequestTimeout, reply.StatusCode)
			return
		case <-pace.C:
			_, _ = io.WriteString(nc, "x") // fails when it was cut, which is looked for above
		}
	}
}

// smallBuffers gives connections that hold little, so that a reader that stops is
// felt at once.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return nc, nc.(*net.TCPConn).SetWriteBuffer(32 << 10)
}

func small(l net.Listener) net.Listener { return smallBuffers{l} }

// get opens a connection that holds little, and asks for a file.
func get(t testing.TB, addr, path string, headers ...string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.(*net.TCPConn).SetReadBuffer(32<<10))
	require.NoError(t, nc.SetDeadline(time.Now().Add(2*time.Minute)))
	_, err = fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n"))
	require.NoError(t, err)
	return nc
}

func TestADownloadThatStallsIsCut(t *testing.T) {
	s := serve(t, place{Config: files.Config{Stall: 200 * time.Millisecond, Buffer: 4096}, listen: small})
	s.put("a", "")
	require.NoError(t, os.Truncate(filepath.Join(s.dir, "a"), 64<<20))
	for name, headers := range map[string][]string{
		"by sendfile":     nil,
		"through a block": {"Range: bytes=0-19999999,30000000-49999999"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.service.Stats()
			nc := get(t, s.addr, "/a", headers...)
			require.Eventually(t, func() bool { return s.service.Stats().Cut == before.Cut+1 }, 20*time.Second, 5*time.Millisecond)
			assert.Less(t, s.service.Stats().BytesOut-before.BytesOut, int64(32<<20))
			got, err := io.Copy(io.Discard, nc)
			assert.Less(t, got, int64(33<<20), "what was under way, and no more")
			if err != nil {
				assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is closed")
			}
		})
	}
	assert.Zero(t, s.service.Stats().Downloads)
}

// It is the whole that takes longer than the limit, not a block.
func TestADownloadThatIsSlowGoesOn(t *testing.T) {
	const block, stall = 16 << 10, 2 * time.Second
	s := serve(t, place{Config: files.Config{Stall: stall, Buffer: block}, listen: small})
	content := noise(4 << 20)
	s.put("a", content)
	nc := get(t, s.addr, "/a", "Connection: close")
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer reply.Body.Close()
	sum := sha256.New()
	pace := time.NewTicker(stall / 40)
	defer pace.Stop()
	for end := time.Now().Add(3 * stall / 2); time.Now().Before(end); <-pace.C {
		_, err := io.CopyN(sum, reply.Body, 4*block) // well below what there is
		require.NoError(t, err)
	}
	_, err = io.Copy(sum, reply.Body)
	require.NoError(t, err)
	assert.Equal(t, sha256.Sum256([]byte(content)), [32]byte(sum.Sum(nil)))
	assert.Zero(t, s.service.Stats().Cut)
}

// A request that announces a body and does not send it must not hold the connection
// for ever, whatever it asks for.
func TestABodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	s := serve(t, place{Config: files.Config{Stall: 500 * time.Millisecond}})
	nc := get(t, s.addr, "/list", "Content-Length: 100000")
	got, err := io.ReadAll(nc)
	require.NoError(t, err, "it is closed")
	assert.Contains(t, string(got), `"files":[]`)
}
