package proxy

// Holdings is what a process has open, as [ReadHoldings] found it.
type Holdings struct {
	Descriptors int // all of them
	Sockets     int // descriptors of sockets
	PipeEnds    int // descriptors of pipes

	// Pipes is the number of different pipes, and PipeBytes their capacity in
	// bytes. It is what the kernel counts against a user's budget of pages, not
	// memory that is in use: an empty pipe has a ring of slots (40 bytes each, one
	// for a page of capacity) and no pages.
	Pipes     int
	PipeBytes int
}

// Sub returns what is held beyond what was held earlier.
func (h Holdings) Sub(earlier Holdings) Holdings {
	return Holdings{
		Descriptors: h.Descriptors - earlier.Descriptors,
		Sockets:     h.Sockets - earlier.Sockets,
		PipeEnds:    h.PipeEnds - earlier.PipeEnds,
		Pipes:       h.Pipes - earlier.Pipes,
		PipeBytes:   h.PipeBytes - earlier.PipeBytes,
	}
}
