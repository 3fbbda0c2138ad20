package cli

import (
	"io"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"netbench/gcprofile"
	"netbench/gcprofile/beforeafter"
	"netbench/load"
	"netbench/testenv"
	"netbench/testenv/containers"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("NETBENCH_TEST_FOREIGN"); addr != "" {
		serveForeign(addr)
	}
	gcprofile.Use()
	testenv.Main(Factories(), append(containers.Use(), load.Role(), beforeafter.Role())...) // commands start this binary as server and generator
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// serveForeign is an echo server that knows nothing of netbench. It never returns.
func serveForeign(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(c, c)
			c.Close()
		}()
	}
}
