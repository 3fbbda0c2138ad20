package main

import (
	"testing"
	"time"

	"netbench/models"
	"netbench/models/modeltest"
	"netbench/models/peers/engines/adaptertest"
)

// hesitant makes sure that evio reads as much at once as it can, which is more
// than it was told. Whether that shows depends on how much arrives before each
// read: so the echo of the rule about slow readers, the only one with small
// buffers, waits a little with its first answer, and receive buffers are left to
// the kernel.
func hesitant(factory models.Factory) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		if cfg.SendBuffer > 0 && cfg.RecvBuffer >= 0 && cfg.Service != nil && cfg.Service.Name() == "echo" {
			cfg.RecvBuffer = 0
			cfg.Service = hesitantEcho{cfg.Service}
		}
		return factory(cfg)
	}
}

type hesitantEcho struct{ models.Service }

func (h hesitantEcho) Open() models.Session { return &hesitantSession{Session: h.Service.Open()} }

type hesitantSession struct {
	models.Session
	steps int
}

func (s *hesitantSession) Step(in, out []byte) (int, []byte, models.Next) {
	if s.steps++; s.steps <= 3 {
		time.Sleep(50 * time.Millisecond)
	}
	return s.Session.Step(in, out)
}

func TestConformance(t *testing.T) {
	for name, recommended := range map[string]bool{"evio": false, "evio-recommended": true} {
		t.Run(name, func(t *testing.T) {
			// A server of evio is up when the process has enough epoll descriptors more
			// than before (adapter.Polls), which others beside it would confuse.
			modeltest.Run(t, hesitant(newServer(recommended)), append(adaptertest.Declare(name), modeltest.OneByOne())...)
		})
	}
}
