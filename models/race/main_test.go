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
// the model "crashing" that can remove it under load dies of that.
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
	factories["moody"] = moody
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

// startsFile is the environment variable that names a file with a byte for each
// start of the model "moody", which fails in its second one: in round 1, if it is
// tried before.
const startsFile = "NETBENCH_TEST_STARTS"

func moody(c models.Config) (models.Server, error) {
	starts, err := os.ReadFile(os.Getenv(startsFile))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(os.Getenv(startsFile), append(starts, '.'), 0o600); err != nil {
		return nil, err
	}
	if len(starts) == 1 {
		return nil, errors.New("not twice")
	}
	return goroutine.New(c)
}

// crashing is a goroutine server that dies once it has served something, if it is
// the one that shall.
func crashing(c models.Config) (models.Server, error) {
	server, err := goroutine.New(c)
	if err != nil {
		return server, err
	}
	if _, err := os.Stat(os.Getenv(crashFile)); err != nil {
		return server, nil // another one did
	}
	go func() {
		for range time.Tick(time.Millisecond) {
			if server.Stats().BytesIn > 1000 && os.Remove(os.Getenv(crashFile)) == nil {
				os.Stderr.WriteString("the sky fell\n")
				os.Exit(9)
			}
		}
	}()
	return server, nil
}
