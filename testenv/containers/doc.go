// Package containers runs what a benchmark needs in containers: the services of
// package testenv/services, as a rung of their ladder, and the server under test,
// under limits of CPU and memory as they are usual where servers run.
//
//	testenv.Main(factories, containers.Use()...)
//
//	s, err := containers.StartServer(ctx, spec, containers.Limits{CPUs: 0.5, Memory: 256 << 20})
//
// Use makes the rung. The engine is the one of DOCKER_HOST, or of the usual socket;
// [Engine] tells whether it answers. Containers use the network of the host and
// listen on 127.0.0.1 only, so no bridge and no address translation lies between
// them and the load generator. The images of services are the official ones, or those
// that NETBENCH_POSTGRES_IMAGE and NETBENCH_REDIS_IMAGE name; any image does that has
// a shell, the service's program, and a user of its name, since nothing of its
// entrypoint is used. That of the server is made from scratch and holds nothing but
// the static binary.
//
// No container outlives the process that started it, however that ends. A process
// between the two, a role of internal/proc, holds the container: it removes it when
// its pipe to the parent breaks. And should that process be killed too, the
// connection to the engine breaks that it has attached to the container's standard
// input, whose end ends the container's first process, and the engine removes it.
// For a server standard input and output are its control channel, so a server in a
// container is a [testenv.Server] like any other.
//
// The server shares the process ids of the host, so that its CPU time, its system
// calls and whether it is blocked are observed as those of any server. Its Go runtime
// sees the limits: GOMAXPROCS follows that of CPU, rounded up, but 2 at least where
// there are two CPUs, and [testenv.ServerInfo] tells what it has chosen.
//
// Needs Linux, and an engine on the same host.
package containers
