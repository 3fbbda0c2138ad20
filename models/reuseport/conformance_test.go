//go:build linux || freebsd

package reuseport

import (
	"testing"

	"netbench/models/modeltest"
)

// The address of a Unix socket cannot be shared.
var shared = modeltest.Networks("tcp4", "tcp6")

func TestConformance(t *testing.T) {
	modeltest.Run(t, Factory(Options{Over: Goroutine}), shared)
}

// What becomes of a connection once it is accepted is up to the model, which
// passes all rules by itself. These are about the listeners, the sum of several
// servers and their ends. The other rules judge the second kind too, in tier ci:
// see TestConformanceOfVariants.
func TestConformanceOverReactor(t *testing.T) {
	modeltest.Run(t, Factory(Options{Over: Reactor}), shared, modeltest.Only(
		"many-connections", "limit-wait", "limit-reject", "accept-errors", "idle-closes", "reset",
		"shutdown-drains", "shutdown-backlog", "shutdown-partial", "shutdown-work", "shutdown-idle", "shutdown-refuses", "shutdown-deadline", "shutdown-again",
		"close-prompt", "close-work", "close-anytime", "serve-error", "no-leak",
		"listens", "config-errors", "address-in-use", "stats-exact", "stats-anytime"))
}
