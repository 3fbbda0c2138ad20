//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor_test

import (
	"testing"

	"netbench/models/modeltest"
	"netbench/models/reactor"
)

func TestConformance(t *testing.T) { modeltest.Run(t, reactor.New) }
