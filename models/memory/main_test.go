package memory

import (
	"maps"
	"os"
	"testing"

	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/models/reactor"
	"netbench/models/reuseport"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	factories := maps.Clone(goroutine.Models())
	factories[holdingName] = func(cfg models.Config) (models.Server, error) {
		cfg.Service = holding{cfg.Service}
		return goroutine.New(cfg)
	}
	maps.Copy(factories, reactor.Models())
	maps.Copy(factories, reuseport.Models())
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

// holdingName is a model whose connections hold a block of held bytes each,
// beside what they hold in the goroutine model.
const (
	holdingName = "holding"
	held        = 8 << 10
)

type holding struct{ models.Service }

func (h holding) Open() models.Session {
	block := make([]byte, held)
	for i := range block {
		block[i] = byte(i) // a page that nobody has written to is not there
	}
	return holdingSession{h.Service.Open(), block}
}

type holdingSession struct {
	models.Session
	block []byte
}

func (s holdingSession) Step(in, out []byte) (int, []byte, models.Next) {
	s.block[0]++
	return s.Session.Step(in, out)
}
