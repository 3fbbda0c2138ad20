package reuseport

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	factories := Models()
	factories["prefork-doomed"] = doomed
	factories["prefork-interrupted"] = interrupted
	factories["wasteful"] = func(cfg models.Config) (models.Server, error) {
		cfg.Listeners = 1
		return goroutine.Factory(goroutine.Options{NaiveBuffers: true})(cfg)
	}
	factories["single"] = func(cfg models.Config) (models.Server, error) {
		s, err := goroutine.New(cfg)
		return struct{ models.Server }{s}, err // without PerListener
	}
	testenv.Main(factories, load.Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// doomed is a prefork model whose workers end as soon as somebody connects.
func doomed(cfg models.Config) (models.Server, error) {
	s, err := Prefork(PreforkOptions{Model: "prefork-doomed", Deaths: 2})(cfg)
	if err != nil || os.Getenv(envWorker) == "" {
		return s, err
	}
	return doomedWorker{s}, nil
}

// signalled names the file that the first worker of "prefork-interrupted" makes
// before it is ended by SIGTERM, as if that came before it could ignore it.
const signalled = "NETBENCH_TEST_SIGNALLED"

// interrupted is a prefork model whose worker is ended while it starts: the first
// one only, or each if there is no directory for the file.
func interrupted(cfg models.Config) (models.Server, error) {
	if os.Getenv(envWorker) != "" {
		f, err := os.OpenFile(os.Getenv(signalled), os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, os.ErrExist) {
			_ = f.Close()
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Signal(syscall.SIGTERM)
			select {}
		}
	}
	return Prefork(PreforkOptions{Model: "prefork-interrupted"})(cfg)
}

type doomedWorker struct{ models.Server }

func (w doomedWorker) Serve() error {
	go func() { _ = w.Server.Serve() }()
	for tick := time.Tick(time.Millisecond); w.Stats().Accepted == 0; {
		<-tick
	}
	return errors.New("these are my last words")
}
