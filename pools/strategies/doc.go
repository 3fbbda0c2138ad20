// Package strategies compares ways to keep the connections of a pool ready, by
// what the first request costs after something has happened.
//
// A pool's usual speed says nothing of the first request after the start, after an
// idle spell longer than the server's patience, after the server was restarted, or
// after the link stood still. It pays for handshakes, or finds connections that
// look alive and are not, and fails. There are three strategies, each of which
// makes one [pools.Kind] of another:
//
//   - [Lazy] opens connections when they are needed.
//   - [Warmed] opens all of them when the pool is made, and leaves them alone.
//   - [Checked] does that too, and has the idle ones probed at an interval by a
//     goroutine of its own. A connection that fails is dropped by its pool, and
//     another is opened in its place.
//
// [Run] brings each strategy into each of the situations a number of times, and
// reports how long the first request took, how often it failed before it
// succeeded, and how many connections were opened, by the request itself and by
// the pool before it.
//
// # What a probe is
//
// A pool hands out no connections here, so the probe is the kind's own operation,
// as many at once as there are idle connections. All of them being out at once, a
// caller that comes just then waits for a probe: this, and the operations, are what
// checking costs. Pools that repeat a failed operation on another connection of
// their own accord, as database/sql does, drop the dead ones meanwhile all the
// same.
package strategies
