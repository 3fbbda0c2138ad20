//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

// PerListener is [models.Spread]'s: the connections that each loop has accepted,
// from its own listener with Options.Share, else from the one that all share.
func (s *server) PerListener() []uint64 {
	counts := make([]uint64, len(s.loops))
	for i, l := range s.loops {
		counts[i] = l.shared.accepted.Load()
	}
	return counts
}
