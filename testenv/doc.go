// Package testenv starts what a benchmark needs around it. A server under test
// gets a process of its own, on CPUs of its own, and is observed from outside.
//
// The server never shares a process with the load generator: they would share a
// garbage collector, a scheduler and a CPU account. [StartServer] executes the
// running binary again as the server, so `go test` alone needs no second program;
// [Main] is what makes that possible and has to come first:
//
//	func TestMain(m *testing.M) {
//		testenv.Main(map[string]models.Factory{"goroutine": goroutine.New})
//		os.Exit(m.Run())
//	}
//
//	place, err := testenv.Place()
//	err = testenv.PinSelf(place.Generator)
//	s, err := testenv.StartServer(ctx, testenv.ServerSpec{
//		Model: "goroutine", Service: "echo", CPUs: place.Server,
//	})
//
// What a server costs is learned in two ways. From outside, without its doing
// anything: [Server.CPU], [Server.Quiesce], [Server.Counters]. By asking it over
// its control channel, which costs it some allocations and system calls:
// [Server.Stats], [Server.Runtime]. Either way a server of several processes is
// one server: the former look at its whole process tree, the latter ask a
// [Family]. [ReadKernelMemory] tells what the kernel
// spends beside it, of which it keeps account for the host as a whole only.
//
// The services that a benchmark needs beside it, such as a database, are started by
// package testenv/services. Servers and services run in containers by package
// testenv/containers.
//
// A server lives no longer than the process that started it, however that ends.
// One that fails gives its exit state and the end of its output in the error.
package testenv
