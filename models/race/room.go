package race

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
)

// portsAtOnce is the most connections that load makes from one source address to
// one server; what goes beyond it comes from other addresses.
const portsAtOnce = 20_000

// room checks that the connections of all contenders, which are open at once,
// fit. apart tells that this process cannot hold them, so that each contender
// gets generator processes of its own.
func room(k, conns int) (apart bool, err error) {
	s := scenario.Scenario{Plan: load.Plan{Conns: conns}}
	if why := s.Missing(); why != "" {
		return false, badInput("%s", why)
	}
	return fits(k, conns, load.Room(), limitsOfHost())
}

// limits of the host; 0 is unknown.
type limits struct {
	ports int // local ports
	files int // descriptors that all processes together may still open
}

func fits(k, conns, generator int, host limits) (apart bool, err error) {
	if need := min(conns, portsAtOnce); host.ports > 0 && need > host.ports {
		return false, badInput("%d connections to one server need %d local ports, and the host has %d (widen net.ipv4.ip_local_port_range, or use fewer connections)", conns, need, host.ports)
	}
	// Both ends are on this host.
	if need := 2 * k * conns; host.files > 0 && need > host.files {
		return false, badInput("%s of %d connections each need %d descriptors, and the host has %d left (raise fs.file-max, or race fewer models)", contenders(k), conns, need, host.files)
	}
	return k*conns > generator, nil
}

func contenders(k int) string { return fmt.Sprintf("%d contenders", k) }
