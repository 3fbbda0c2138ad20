package gcprofile_test

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/gcprofile"
	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/models/reactor"
	"netbench/models/reuseport"
	"netbench/testenv"
)

// known are the models that tests start.
func known() map[string]models.Factory {
	all := goroutine.Models()
	for _, more := range []map[string]models.Factory{reactor.Models(), reuseport.Models()} {
		for name, factory := range more {
			all[name] = factory
		}
	}
	return all
}

func TestMain(m *testing.M) {
	gcprofile.Use()
	gcprofile.RegisterHabit("thrice", thrice)
	testenv.Main(known(), load.Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// thrice is a habit of a test: three allocations of 100 bytes.
var thrice = gcprofile.Habit{Reply: 2, Open: func() models.HTTPHandler {
	var kept [3][]byte
	return func(_, out []byte) []byte {
		for i := range kept {
			kept[i] = make([]byte, 100)
		}
		return append(out, "{}"...)
	}
}}

// startPoller opens what the runtime keeps open from its first socket on.
var startPoller = sync.OnceValue(func() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
})

// keepsDescriptors fails a test at whose end more descriptors are open than at its
// beginning. It has to come before what opens them.
func keepsDescriptors(t *testing.T) {
	t.Helper()
	count := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // not Linux
		}
		return len(all)
	}
	require.NoError(t, startPoller())
	before := count()
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return count() <= before }, 5*time.Second, 5*time.Millisecond, "a descriptor is left open")
	})
}

// start starts a server that is gone when the test ends.
func start(t *testing.T, spec gcprofile.Spec) *gcprofile.Server {
	t.Helper()
	s, err := gcprofile.Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	return s
}
