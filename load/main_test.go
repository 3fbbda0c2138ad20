package load_test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	testenv.Main(map[string]models.Factory{"goroutine": goroutine.New}, load.Role())
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close() // the runtime has its own descriptors now
	}
	// Each loop of the epoll engine holds one of the scheduler's processors,
	// and the tests' servers in this process need some too.
	runtime.GOMAXPROCS(max(8, runtime.GOMAXPROCS(0)))
	// Most tests wait more than they work.
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		if err := f.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	before := descriptors()
	code := m.Run()
	if code == 0 {
		code = leftovers(before)
	}
	os.Exit(code)
}

// leftovers tells what the tests have left behind.
func leftovers(before int) int {
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for end := time.Now().Add(5 * time.Second); descriptors() > before; {
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "%d descriptors are open, %d were before the tests\n", descriptors(), before)
			return 1
		}
	}
	return 0
}

// descriptors counts this process's open files, 0 where that is not known.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}
