// Command netbench is the laboratory in one binary: it serves, generates load,
// records benchmarks, sets runs side by side, and tells what it knows about the
// host. Run "netbench help".
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"netbench/cmd/netbench/internal/cli"
	"netbench/gcprofile"
	"netbench/gcprofile/beforeafter"
	"netbench/internal/leftover"
	"netbench/load"
	"netbench/testenv"
	"netbench/testenv/containers"
)

func main() {
	gcprofile.Use() // the service heap
	// A child that this binary starts of itself goes no further than this.
	testenv.Main(cli.Factories(), append(containers.Use(), load.Role(), beforeafter.Role())...)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// removing is how long a second interrupt waits for what has to be removed.
const removing = 20 * time.Second

// run is the program without the process. The first interrupt ends ctx, so that a
// command can keep what it has and remove what has to be; when nothing of that is
// left, the second one ends the program at once.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, func() {
		leftover.Wait(removing)
		stop()
	})
	return cli.Run(ctx, args, stdin, stdout, stderr)
}
