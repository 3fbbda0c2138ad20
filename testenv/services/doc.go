// Package services starts the services that a benchmark or a test needs beside the
// server under test: PostgreSQL and Redis. Nobody has to set anything up.
//
// One ladder is climbed for each, and the first rung that holds is taken:
//
//  1. The address that the user gave: NETBENCH_POSTGRES_DSN, or NETBENCH_REDIS_ADDR,
//     which is host:port or a redis:// URL. If it does not answer that is an error,
//     not a reason to take another: the user meant this one. No standard port is ever
//     probed unasked, as a developer's own database may be there.
//  2. A local binary, found in PATH or where Debian keeps it, in a temporary
//     directory, on a free loopback port, with a random password, as an
//     unprivileged user when this process is root's.
//  3. A container, if package testenv/containers is linked in; see [UseContainers].
//  4. For Redis a stand-in in this process, miniredis. It speaks the protocol, but
//     is no Redis: [Info.Real] is false, and its figures must not be set against
//     those of the real one.
//
// If none holds, the error is an [*AbsentError] with the reason of every rung. The
// rung taken, and why none above it was, is in [Info], with the version and those
// settings that decide what a figure means, such as whether commits wait for a
// disk.
//
//	p, err := services.StartPostgres(ctx, services.PostgresOptions{})
//	defer p.Stop(ctx)
//	db, err := p.Fresh(ctx) // a database of one's own
//	pool, err := sql.Open("postgres", db.DSN())
//
// A local service is held by a keeper (package internal/keeper), so main or
// TestMain has to begin with testenv.Main: when this process ends, even by
// SIGKILL, the service's processes and its directory go too.
//
// Passwords are in what DSN, URL and Options return, as callers need them there,
// and nowhere else: no error, log or printed value shows one.
//
// Tests ask package servicetest, which skips without a service, or fails if
// NETBENCH_REQUIRE lists it.
package services
