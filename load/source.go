package load

// A pair of source and target address has as many connections as there are local
// ports, and those in TIME_WAIT count. Where each address of 127.0.0.0/8 is this
// host, more sources make room for more connections.

const (
	// connsPerSource is how many connections go from one source address to one
	// target: less than the 28,232 ports that Linux hands out by default.
	connsPerSource = 20_000

	// connectSources is the number of source addresses that a thread of connect
	// mode takes in turn, so that ports in TIME_WAIT stay few on each.
	connectSources = 16
)

// heldSource is the source address of connection number n of a run that holds
// its connections, counted over all threads and processes. It is not set for the
// first ones, which the kernel gives an address.
func heldSource(n, targets int) (addr [4]byte, set bool) {
	return sourceAddress(n / (connsPerSource * targets))
}

// connectSource is the source address of connection number n that a shard of
// connect mode makes.
func connectSource(shard, n int) (addr [4]byte, set bool) {
	return sourceAddress(shard*connectSources + n%connectSources)
}

// sourceAddress is the n-th of 127.1.0.2 to 127.255.249.251, from 1 on; number 0
// is left to the kernel.
func sourceAddress(n int) (addr [4]byte, set bool) {
	return [4]byte{127, byte(1 + n/62500%255), byte(n / 250 % 250), byte(2 + n%250)}, n > 0
}
