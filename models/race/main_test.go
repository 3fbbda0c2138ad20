package race_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
)

// crashFile is the environment variable that names a file: the first process of
// the model "crashing" that can remove it dies under load.
const crashFile = "NETBENCH_TEST_CRASH"

func TestMain(m *testing.M) {
	factories := goroutine.Models()
	factories["crashing"] = crashing
	factories["twin"] = goroutine.New
	factories["slow"] = func(c models.Config) (models.Server, error) {
		c.Service = models.Spin{Service: c.Service, Iterations: 20_000}
		return goroutine.New(c)
	}
	factories["deaf"] = func(models.Config) (models.Server, error) { return nil, errors.New("no listener to be had") }
	testenv.Main(factories, load.Role())
	before := descriptors()
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	for end := time.Now().Add(5 * time.Second); code == 0 && before > 0 && descriptors() > before+runtimeDescriptors; {
		if time.Now().After(end) {
			os.Stderr.WriteString("descriptors were left open\n")
			code = 1
		}
	}
	os.Exit(code)
}

// runtimeDescriptors are those of the Go runtime's poller, which it opens once.
const runtimeDescriptors = 2

// descriptors counts this process's open files, 0 where that is not known.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// crashing is a goroutine server that dies once it has served something, if it is
// the one that shall.
func crashing(c models.Config) (models.Server, error) {
	server, err := goroutine.New(c)
	if err != nil || os.Remove(os.Getenv(crashFile)) != nil {
		return server, err
	}
	go func() {
		for range time.Tick(time.Millisecond) {
			if server.Stats().BytesIn > 1000 {
				os.Stderr.WriteString("the sky fell\n")
				os.Exit(9)
			}
		}
	}()
	return server, nil
}
