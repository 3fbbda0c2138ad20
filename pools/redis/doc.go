// Package redis is a connection pool before a Redis server: go-redis with
// settings that are checked, a monitor of what its pool reports, and a workload
// that shows what the settings do.
//
//	p, err := redis.OpenURL(ctx, "redis://:password@host:6379", redis.Recommended())
//	defer p.Close()
//	m, err := p.Watch(ctx, redis.RecommendedLimits(), func(a pools.Alert) { log.Print(a) })
//	defer m.Stop()
//	p.Client().Get(ctx, "key")
//
// A command holds a connection for one round trip, some tens of microseconds
// within a data centre, so few connections carry many callers, and Redis, which
// executes commands one at a time, gains nothing from more. What a pool of the
// wrong size costs shows as waits and time-outs, not as errors of the server.
// Several commands in one round trip (a pipeline) save more than any size does.
//
// # The pool for pipelines
//
// Since version 9.23 a go-redis client has two pools. Pipeline, TxPipeline,
// Pipelined and the automatic pipelines take connections from a second one:
//
//   - It is there unless Options.PipelinePoolSize is below 0, and has at most
//     PipelinePoolSize connections, 10 if that is 0, whatever PoolSize is. So the
//     server may see PoolSize + PipelinePoolSize connections of one client, and
//     MaxActiveConns bounds the first part only.
//   - It opens connections when a pipeline needs one and keeps none in advance:
//     MinIdleConns is 0 in it. MaxIdleConns, the idle time, the lifetime and the
//     dial settings are those of the main pool. Its buffers have 128 KiB each,
//     those of the main pool 32 KiB, unless PipelineReadBufferSize,
//     PipelineWriteBufferSize or larger ordinary sizes are set.
//   - Nobody waits for it. A pipeline that finds all its connections in use, or
//     that cannot connect, goes to the main pool at once, and waits there like a
//     command, up to PoolTimeout. So the number of connections for pipelines that
//     run at once is the sum of both, and its own PoolTimeout (100 ms at most)
//     never comes to bear.
//   - Its figures are in PoolStats().PipelineStats and not in those of the main
//     pool. Its waits and time-outs are always 0, and a pipeline that went over to
//     the main pool is counted there alone, as a hit or a miss: the two pools
//     together tell how often it happened only if the number of commands is known.
//
// Before 9.23, pipelines took connections from the one pool; a PoolSize that was
// tuned for them has more than is needed now. [Settings.PipelineSize] says how
// many are wanted, and 0 gives the single pool back.
//
// # What the figures mean
//
// As version 9.23 counts them (its internal/pool/pool.go):
//
//   - A hit is a request for a connection that found an idle one, a miss one that
//     had to open one. A request that gave up waiting is neither.
//   - Waits and the wait's duration count those that got a connection in the end.
//     A time-out is a wait that lasted PoolTimeout; a caller whose context ended
//     before is in none of the figures, but as long as it waits it is pending.
//   - A call that timed out so is repeated like one that failed, up to MaxRetries
//     times: the caller waits up to (MaxRetries+1) x PoolTimeout, two minutes with
//     [Recommended], unless its context ends before. So give calls a deadline.
//   - Stale counts every connection that was taken out of the pool, whatever for:
//     age, idle time, more idle ones than MaxIdleConns, or an error.
//   - With MaxIdle below Size, connections are closed whenever callers pause and
//     all are idle at once, and opened anew for the next burst; with a MaxIdle of
//     1 or 2 this happens now and then under steady load, too.
//   - Counters have 32 bits and begin again at 0; [Stats] keeps them so, and
//     differences are right as long as fewer than 2^32 fall into an interval.
//
// The pool keeps the sum of its waits, not their distribution. go-redis tells
// single waits to a recorder only that is set for the whole process
// (SetOTelRecorder) and then is told of all other events of all clients as well,
// which costs each command; a package that measures one pool cannot do that.
// Therefore the mean wait is what there is; how the waits are spread shows in the
// latency of the commands, of which [Tally] has a histogram.
package redis
