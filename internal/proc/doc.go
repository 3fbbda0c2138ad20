// Package proc runs parts of this program in child processes.
//
// A child is as a rule the running binary again: the same file is executed with a role in
// its environment, and [Main], the first call in main or TestMain, sees the role,
// runs it and never returns. So a test binary needs no second program, and both
// ends always come from the same build. [Options].Program runs another executable
// instead, which has to speak the protocol of wire.go: the same version of it, or
// the child is refused with an error that names both.
//
//	func main() {
//		proc.Main(proc.Role{Name: "worker", Run: work})
//		...
//		child, err := proc.Start(ctx, proc.Options{Role: "worker", CPUs: []int{1}})
//	}
//
// A role may also run where no child process is, such as in a container: the child is
// a [Carrier] then, which passes the channel on.
//
// Parent and child talk over two pipes of their own, one JSON object per line in
// each direction (see wire.go): the child says that it is ready, the parent calls
// operations and asks it to stop. It is a control channel; what a benchmark
// measures never travels on it. Standard output and standard error of the child
// go to the parent's log, and the end of them into the error if the child fails.
//
// The lives of the two are tied. A child that dies makes every call return an
// [*ExitError] at once. A child whose parent dies, even by SIGKILL, sees the end
// of its pipe and exits; on Linux and FreeBSD the kernel also kills it, which
// works when the child is stopped or cannot run Go code. That tie belongs to the
// parent's *thread* that forked, so each child has a goroutine that is locked to
// a thread, forks there and stays until the child has ended.
package proc
