// Package postgres is a pool of PostgreSQL connections that is opened with
// settings that were thought about, says how long its callers wait, and warns
// when they wait for the pool rather than for the database.
//
// A PostgreSQL connection is a process of the server and a handshake that costs
// milliseconds of CPU time (SCRAM hashes a password 4,096 times), so it is worth
// keeping; and the server runs as many queries at once as it has CPUs and disks,
// so more connections than that buy nothing but memory. A pool has two failure
// modes. With too few connections callers queue inside their own process while
// the server idles: nothing shows on the server, and latency is all waiting. With
// too few of them kept idle, each burst opens connections and throws them away
// again. database/sql's own defaults have the second: any number may be open, and
// two are kept.
//
//	db, err := postgres.Open(ctx, dsn, postgres.Recommended())
//	defer db.Close()
//	m, err := db.Watch(ctx, postgres.DefaultLimits(), func(a pools.Alert) { log.Print(a) })
//	defer m.Stop()
//	c, err := db.Conn(ctx) // timed; or db.SQL() for all that database/sql can do
//
// [Open] is for lib/pq through database/sql. [OpenPgx] makes a pool of pgx's own
// with the same settings, as far as it has them. [Kind] is either of them for the
// laboratory: one row found by its primary key, as `pgbench -S` asks for it.
//
// What to know of the two when reading figures:
//
//   - database/sql gives a connection that is returned to a waiting caller chosen
//     at random, not to the first in line. So the longest waits of a pool that is
//     too small are much longer than the mean one. pgxpool serves in order.
//   - lib/pq takes a context's end during a query to the server as a request to
//     cancel it, over a connection made for that, and then drops its own. So
//     time-outs cost connections, which a pool that is too small can spare least.
//   - While it opens a connection lib/pq heeds no context, and during a query it
//     waits for the answer to its cancellation. Here either wait is bounded by
//     [Settings].ConnectTimeout.
//
// No error of this package shows a password, and each is one line.
package postgres
