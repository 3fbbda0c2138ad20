// Package needs is for tests that need something of the host which not every
// host has, such as a C compiler or the right to count system calls.
//
// On a developer's machine such a test is skipped with the reason. Where it must
// not be, as in CI, the environment variable NETBENCH_REQUIRE lists what has to be
// there, separated by commas, and the test fails.
package needs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Names of what tests need.
const (
	CC   = "cc"   // a C compiler
	Wrk  = "wrk"  // the load generator of that name
	Perf = "perf" // the right to count system calls and context switches

	Git = "git" // the git command

	Peers = "peers" // the go command, and the sources and modules of other people's engines

	Curl     = "curl"     // the command of that name
	Chromium = "chromium" // a Chromium that runs without a screen
	Tmpfs    = "tmpfs"    // the right to mount a file system in memory

	Uring = "io_uring" // a kernel that has it and permits it

	Docker   = "docker"   // an engine of containers that answers, and the images
	Netns    = "netns"    // the right to make network namespaces, and TUN devices
	Postgres = "postgres" // a PostgreSQL server: a given address, a local binary or a container
	Redis    = "redis"    // a Redis server, likewise; a stand-in is none
)

// Skip ends a test that lacks what, or fails it if NETBENCH_REQUIRE names that.
// Why says what was found.
func Skip(t testing.TB, what string, why any) {
	t.Helper()
	if Required(what) {
		t.Fatalf("NETBENCH_REQUIRE demands %s: %v", what, why)
	}
	t.Skipf("without %s: %v", what, why)
}

// Required tells whether NETBENCH_REQUIRE names what.
func Required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("NETBENCH_REQUIRE"), ","), what)
}
