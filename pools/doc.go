// Package pools is what the connection pools of this laboratory have in
// common: how load is put on one, how two are set side by side, and how one
// is watched.
//
// A connection pool trades connections for waiting. Too few, and callers
// queue for one while the server idles; too many, and the server (or the
// network's handshakes) pays for connections that nobody needs. Which of the
// two happens cannot be seen from throughput alone, therefore every pool
// here reports how long its callers waited, how many connections it opened,
// and how many requests found one ready.
//
// The packages below it hold one pool each: http the transport of net/http,
// postgres database/sql with lib/pq and pgxpool beside it, redis go-redis.
// Each offers a recommended constructor, settings that are checked, and a
// monitor; and each is a Kind, so that sizing and strategies work on all of
// them.
package pools
