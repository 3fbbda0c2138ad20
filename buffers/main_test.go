package buffers_test

import (
	"maps"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/buffers"
	"netbench/load"
	"netbench/models/reactor"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	known := buffers.Models()
	maps.Copy(known, reactor.Models()) // whose loops own their buffers
	testenv.Main(known, load.Role(), buffers.Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// keepsDescriptors fails a test at whose end more descriptors are open than at its
// beginning. It has to come before what opens them.
func keepsDescriptors(t *testing.T) {
	t.Helper()
	before, known := descriptors()
	if !known {
		return
	}
	t.Cleanup(func() {
		require.Eventually(t, func() bool { now, _ := descriptors(); return now <= before },
			5*time.Second, 5*time.Millisecond, "a descriptor is left open")
	})
}

// startPoller opens what the runtime keeps open from its first socket on.
var startPoller = sync.OnceValue(func() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
})

// descriptors is the number of descriptors of this process, where that is to be known.
func descriptors() (n int, known bool) {
	if startPoller() != nil {
		return 0, false
	}
	all, err := os.ReadDir("/proc/self/fd")
	return len(all), err == nil
}
