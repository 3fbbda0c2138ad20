package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"netbench/internal/keeper"
)

// debianPostgres is where Debian and Ubuntu keep the server's programs, a
// directory for each major version and none of it in PATH.
const debianPostgres = "/usr/lib/postgresql/*/bin"

// postgresUser is the superuser of a cluster that is made here.
const postgresUser = "netbench"

// postgresGrace is how long a server may take to end: a fast shutdown writes a
// checkpoint, an immediate one waits up to 5 s for its processes, and one that
// initdb left has a statement to finish, on a busy machine for seconds. Who kills it
// before leaves its shared memory in the kernel.
const postgresGrace = 8 * time.Second

// socketLimit is the longest path of a Unix socket (sun_path, unix(7)), without
// the file's name.
const socketLimit = 107 - len("/.s.PGSQL.65535")

// findPostgres is the directory with postgres and initdb.
func findPostgres(given string) (string, error) {
	complete := func(dir string) bool {
		return executable(filepath.Join(dir, "postgres")) && executable(filepath.Join(dir, "initdb"))
	}
	if given != "" {
		if complete(given) {
			return given, nil
		}
		return "", absence(fmt.Sprintf("no postgres and initdb in %s", given))
	}
	if path, err := exec.LookPath("postgres"); err == nil && complete(filepath.Dir(path)) {
		return filepath.Dir(path), nil
	}
	dirs, err := filepath.Glob(debianPostgres)
	if err != nil {
		return "", err
	}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return !complete(dir) })
	if len(dirs) == 0 {
		return "", absence("no postgres and initdb in PATH or " + debianPostgres)
	}
	return slices.MaxFunc(dirs, func(a, b string) int { return majorOf(a) - majorOf(b) }), nil
}

// majorOf is the major version in a path as debianPostgres has them, 0 if there is
// none.
func majorOf(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// startLocal makes a cluster and starts the server for it.
func (o PostgresOptions) startLocal(ctx context.Context) (*Postgres, string, error) {
	binaries, err := findPostgres(o.Binaries)
	if err != nil {
		return nil, "", err
	}
	owner, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, "", err
	}
	addr, err := keeper.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	k, err := keeper.Start(ctx, keeper.Spec{Dir: "netbench-postgres-", Owner: owner, CPUs: o.CPUs, Log: o.Log})
	if err != nil {
		return nil, "", err
	}
	password := newPassword()
	l := &local{keeper: k, timeout: o.StartTimeout, password: keep(password), command: o.command(binaries, k.Dir(), addr)}
	p, err := newPostgres(ClusterDSN(addr, password))
	if err != nil {
		return nil, "", l.discard(ctx, err)
	}
	p.body = l
	l.ready = p.answers
	// All of it together within the start's time-out.
	err = l.within(ctx, func(ctx context.Context) error {
		if err := l.makeCluster(ctx, binaries, owner); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(binaries, "initdb"), err)
		}
		if err := l.launch(ctx); err != nil {
			return fmt.Errorf("%s: %w", l.command.Args[0], err)
		}
		if err := p.inspect(ctx); err != nil {
			return fmt.Errorf("%s: ask for its settings: %w", l.command.Args[0], err)
		}
		return nil
	})
	if err != nil {
		return nil, "", l.discard(ctx, err)
	}
	return p, l.command.Args[0] + as(owner), nil
}

// makeCluster lets initdb make the data directory.
func (l *local) makeCluster(ctx context.Context, binaries string, owner *keeper.User) error {
	// By file: other users see a command line.
	file, err := l.write("password", l.password()+"\n", owner)
	if err != nil {
		return err
	}
	err = l.within(ctx, func(ctx context.Context) error {
		return l.keeper.Run(ctx, keeper.Command{
			Dir:  l.keeper.Dir(),
			Args: append([]string{filepath.Join(binaries, "initdb")}, ClusterArgs(filepath.Join(l.keeper.Dir(), "data"), file)...),
			// The server that initdb runs ends when its input does, and gives its
			// shared memory back. While it makes the first tables any signal would
			// leave that in the kernel.
			Abort: syscall.SIGKILL, First: true, AbortGrace: postgresGrace, Grace: postgresGrace,
		})
	})
	return errors.Join(err, os.Remove(file))
}

// ClusterArgs are the arguments of initdb for a cluster in a directory. The file
// holds the password of its superuser, who may come without it by the Unix socket:
// that has to be in a directory that is closed to others.
func ClusterArgs(data, passwordFile string) []string {
	return []string{
		"--pgdata=" + data, "--username=" + postgresUser, "--pwfile=" + passwordFile,
		"--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
	}
}

// ClusterDSN is the data source name of the superuser of such a cluster.
func ClusterDSN(addr, password string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, password), Host: addr, Path: "/postgres", RawQuery: "sslmode=disable",
	}).String()
}

// ServerArgs are the arguments of postgres for a cluster made with [ClusterArgs],
// which listens on addr, host:port, and makes its Unix socket in a directory, none
// if that is "".
func (o PostgresOptions) ServerArgs(data, sockets, addr string) []string {
	host, port, _ := net.SplitHostPort(addr) // made by FreeAddr
	args := []string{
		"-D", data, "-h", host, "-p", port, "-k", sockets,
		"-c", "log_destination=stderr", "-c", "logging_collector=off",
	}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	durability := "off"
	if o.Durable {
		durability = "on"
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		set(name, durability)
	}
	if o.MaxConnections > 0 {
		set("max_connections", strconv.Itoa(o.MaxConnections))
	}
	if o.SharedBuffers != "" {
		set("shared_buffers", o.SharedBuffers)
	}
	return args
}

// command is the server's.
func (o PostgresOptions) command(binaries, dir, addr string) keeper.Command {
	sockets := dir
	if len(dir) > socketLimit {
		sockets = ""
	}
	return keeper.Command{
		Args: append([]string{filepath.Join(binaries, "postgres")}, o.ServerArgs(filepath.Join(dir, "data"), sockets, addr)...), Dir: dir,
		// Fast shutdown: connections are cut. Its other processes hear of it from
		// the first (https://www.postgresql.org/docs/current/server-shutdown.html).
		Signal: syscall.SIGINT, First: true, Grace: postgresGrace,
		// Immediate shutdown: no checkpoint, but the shared memory is given back,
		// which SIGKILL would leave in the kernel.
		Abort: syscall.SIGQUIT, AbortGrace: postgresGrace,
	}
}
