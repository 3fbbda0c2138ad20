// Package floor is the line that Go is measured against: the same echo in C,
// without a runtime, a scheduler or a collector between the program and the
// kernel.
//
//   - "c-epoll": one loop a thread over epoll, level-triggered. What a request
//     costs is one read and one write, and its share of a wait. The first loop
//     accepts and deals connections out in turn.
//   - "c-uring": one ring a thread over io_uring, by raw system calls.
//
// Both are servers like any other: [Build] compiles them with the host's cc, once,
// and testenv starts them as programs of their own, with the same configuration,
// over the same control channel.
//
//	program, err := floor.Build(ctx, floor.Epoll)
//	server, err := testenv.StartServer(ctx, testenv.ServerSpec{
//		Model: floor.Epoll, Program: program, Service: "echo",
//	})
//
// They serve echo on TCP and nothing else, and refuse every other service,
// network, more than one listener and a CPU profile by name. Loops is 0 for as
// many as the CPUs of the process. NoDelay and the sizes of buffers are set on the
// listener, from which Linux hands them down, so that they cost a connection no
// call. The options of sockets that a Go server has are thereby the same.
//
// A connection whose peer does not read is not read from until all that it is
// owed is written. For it c-epoll keeps at most ReadBuffer bytes, less than
// MaxPending allows. c-uring receives into buffers that the kernel takes from a ring
// of the loop; when those that a connection holds exceed MaxPending, its receive is
// cancelled, and what the kernel has received until then comes on top, which is some
// 32 buffers. A loop provides as many buffers as were ever needed at once, at most
// 32,768 or 1 GiB. IdleTimeout is kept by 16 ticks of one timer a loop: a connection
// is closed after 1 to 1.07 times as long, and 16 ms at the earliest. At MaxConns,
// connections wait in the backlog or are closed at once, as OnLimit says. A shutdown
// drains as [models.Server] asks.
//
// c-uring uses what Linux 6.1 has: one thread a ring that alone submits and takes
// completions (SINGLE_ISSUER, DEFER_TASKRUN), accepts and receives that go on by
// themselves. Stats.Variant says so. From Linux 5.19 on it does without, which
// Stats.Fallback says; NETBENCH_URING_TIER=1 in its environment asks for that. Its
// sockets are ordinary descriptors, not ones of the ring, so that what is true of
// other servers' sockets can be seen of its own. When it is killed, the kernel takes
// its rings apart a moment later, and its listener lives as long.
package floor

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"netbench/internal/cc"
	"netbench/models"
)

// Names of the models of this package.
const (
	Epoll = "c-epoll"
	Uring = "c-uring"
)

//go:embed src/*.c
var sources embed.FS

// parts are the files of each program, in order.
var parts = map[string][]string{
	Epoll: {"json.c", "server.c", "epoll.c", "epoll_accept.c", "epoll_run.c", "control.c"},
	Uring: {"json.c", "server.c", "ring.c", "uring.c", "uring_accept.c", "uring_run.c", "control.c"},
}

// Names returns the names of the models of this package.
func Names() []string { return []string{Epoll, Uring} }

// Build returns the path of the executable of a model, which it compiles if that
// was not done before. The error wraps [cc.ErrNoCompiler] on a host without cc and
// [models.ErrUnsupported] on a platform that is not Linux. Where the user has no
// cache directory, the executable is in the directory for temporary files, and
// stays there.
func Build(ctx context.Context, name string) (program string, err error) {
	p, err := source(name)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("model %s needs Linux (this is %s): %w", name, runtime.GOOS, models.ErrUnsupported)
	}
	binary, err := cc.Build(ctx, p)
	if err != nil {
		return "", err
	}
	return binary.Path, nil
}

// source puts a program together in one file. The lines that the compiler names
// are those of the files that it was made of.
func source(name string) (cc.Program, error) {
	files, known := parts[name]
	if !known {
		return cc.Program{}, fmt.Errorf("unknown model %q (the C floor has %s)", name, strings.Join(Names(), ", "))
	}
	var all bytes.Buffer
	for _, file := range files {
		text, err := sources.ReadFile("src/" + file)
		if err != nil {
			return cc.Program{}, err // no file of that name was embedded
		}
		fmt.Fprintf(&all, "#line 1 %q\n%s", file, text)
	}
	return cc.Program{
		Name: name, Source: all.Bytes(), Libs: []string{"-pthread"},
		Flags: slices.Concat(standard, []string{"-DPROGRAM=" + fmt.Sprintf("%q", name)}),
	}, nil
}

// standard are the flags of both programs. Warnings are no errors here: another
// compiler may have others. A test compiles without one.
var standard = []string{"-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-pthread"}

// Declared tells in which effective conditions a model differs from a Go server of
// the same configuration, by field of conditions.Conditions, with the reason.
func Declared(name string) map[string]string {
	if name == Uring {
		return map[string]string{"NonBlocking": "io_uring waits for a socket itself, and is advised to be given blocking ones; no thread ever blocks in one"}
	}
	return nil
}
