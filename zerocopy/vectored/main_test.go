package vectored_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/testenv"
	"netbench/zerocopy/vectored"
)

func TestMain(m *testing.M) {
	testenv.Main(vectored.Models(), load.Role())
	goleak.VerifyTestMain(m)
}

// patience bounds every exchange of a test.
const patience = 20 * time.Second

// name is how a test calls options.
func name(o vectored.Options) string { return strings.TrimPrefix(o.Model(), "vectored-") }

// every runs a test for each combination that the platform has.
func every(t *testing.T, test func(t *testing.T, o vectored.Options)) {
	for _, o := range vectored.All() {
		t.Run("way="+name(o), func(t *testing.T) { test(t, o) })
	}
}

// start runs a server in this process until the test ends.
func start(t testing.TB, cfg models.Config, o vectored.Options) models.Server {
	t.Helper()
	cfg.Service = models.Echo{}
	s, err := vectored.New(cfg, o)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
		assert.Zero(t, s.Stats().Active)
	})
	return s
}

// client is a connection with what has been read from it.
type client struct {
	*net.TCPConn
	r *bufio.Reader
}

// dial connects until the test ends.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return &client{c.(*net.TCPConn), bufio.NewReader(c)}
}

// ask sends the head of a GET of a path.
func (c *client) ask(t testing.TB, path string, fields ...string) {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, strings.Join(append(fields, ""), "\r\n"))
	require.NoError(t, err)
}

// reply reads one reply to its end, with the parser of net/http.
func (c *client) reply(t testing.TB) (status int, body []byte) {
	t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	body, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, body
}

// expect reads a reply and wants the body of that size.
func (c *client) expect(t testing.TB, size int) {
	t.Helper()
	status, body := c.reply(t)
	require.Equal(t, http.StatusOK, status)
	require.Len(t, body, size)
	for i, b := range body {
		if b != byte(i%251) {
			require.Failf(t, "wrong byte", "byte %d of %d is %d", i, size, b)
		}
	}
}
