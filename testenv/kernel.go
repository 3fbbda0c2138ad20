package testenv

// KernelMemory is what the kernel holds for everybody on this host, in bytes
// where not said otherwise. A server's share of it is the slope over several
// numbers of connections, on a host where little else changes.
type KernelMemory struct {
	TCP         uint64 `json:"tcp"`           // buffers of TCP sockets; counted in pages
	TCPSockets  uint64 `json:"tcp_sockets"`   // TCP sockets in use over IPv4 and IPv6 in this network namespace, a number
	TCPOrphans  uint64 `json:"tcp_orphans"`   // of these, closed ones that the kernel still drains, a number
	TCPTimeWait uint64 `json:"tcp_time_wait"` // connections that wait in TIME_WAIT, a number

	Slab              uint64 `json:"slab"`               // small objects: sockets, inodes, files
	SlabUnreclaimable uint64 `json:"slab_unreclaimable"` // of these, those that are no cache
	KernelStacks      uint64 `json:"kernel_stacks"`      // one per thread
	PageTables        uint64 `json:"page_tables"`
}
