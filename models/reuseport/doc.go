// Package reuseport is the model of several listeners on one address: sockets
// that share a port by SO_REUSEPORT, over which the kernel spreads connections by
// a hash of both addresses. Nobody has to take turns at one accept queue, and a
// connection belongs from its first packet to whoever is going to serve it. What
// that costs is balance: the kernel counts neither connections nor load, so that
// some listeners get more than others ([Measure] tells how much), and what waits
// in the queue of a listener that is busy cannot go to another one.
//
// It comes in two kinds, each over goroutines or reactor loops.
//
// In one process ([Factory]): N listeners, each with its accept loop or its
// event loop, and everything else in common, MaxConns too.
//
// As many processes ([Prefork]): a supervisor that serves nothing itself, and N
// workers, each a process of this same program with a listener of its own. There
// is no memory, no garbage collector and no scheduler that two workers share, and
// a worker that crashes takes only its own connections with it.
//
// # Prefork
//
// The supervisor is the [models.Server]. It holds the port by a socket that is
// bound and does not listen, so that nobody gets the port while a worker is down.
// It restarts workers that die, at first after 10 ms, then after twice as long
// each time up to a second; if more die within a time than [PreforkOptions]
// allow, Serve ends with an error that has the last one's last words. Shutdown
// drains all workers at once. Close kills them, and so does the death of the
// supervisor, by whatever cause. All processes are those of internal/proc and
// started as testenv starts servers, so a program that calls testenv.Main with
// [Models] can be a worker without saying more.
//
// Where prefork differs from a model in one process:
//
//   - The workers serve as soon as the factory returns. Serve watches over them.
//   - A service travels to the workers by its name: one that models.ParseService
//     does not make of its name is an error of the factory.
//   - MaxConns is divided among the workers, evenly, and so is Loops. As the
//     kernel does not spread connections evenly, a worker may be at its share
//     while another one is not, and its further connections then wait or are
//     rejected: allow for twice as many as are expected.
//   - Each worker has its share of GOMAXPROCS.
//   - Workers ignore SIGTERM and interrupts, which service managers may send to
//     all processes at once: it is the supervisor that drains them. SIGKILL has
//     one restarted.
//   - Stats asks the workers. What a worker that was killed had counted since it
//     was last asked is lost. Active, IdleClosed and so on are sums;
//     Stats.Restarts counts the workers started in place of ones that had died.
//   - testenv's snapshots are sums over the supervisor and its workers.
//
// The conformance suite runs services of its own in the process of the test,
// which steers them while they run. They have no name to travel by, so the suite
// judges the worker's model, but prefork only by those of its rules to which the
// common echo will do; the tests here judge the family as processes.
package reuseport
