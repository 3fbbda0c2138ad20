package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/prometheus/procfs"
)

// ReadKernelMemory reads /proc/net/sockstat, sockstat6 and /proc/meminfo. Needs
// Linux.
func ReadKernelMemory() (KernelMemory, error) {
	var k KernelMemory
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return k, err
	}
	four, err := proc.NetSockstat()
	if err != nil {
		return k, fmt.Errorf("/proc/net/sockstat: %w", err)
	}
	found := false
	for _, p := range four.Protocols {
		if p.Protocol != "TCP" || p.Mem == nil || p.Orphan == nil || p.TW == nil {
			continue
		}
		found = true
		k.TCP = uint64(*p.Mem) * uint64(os.Getpagesize())
		k.TCPSockets = uint64(p.InUse)
		k.TCPOrphans = uint64(*p.Orphan)
		k.TCPTimeWait = uint64(*p.TW)
	}
	if !found {
		return k, errors.New("/proc/net/sockstat: no complete line for TCP")
	}
	six, err := proc.NetSockstat6()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // IPv6 may be off
		return k, fmt.Errorf("/proc/net/sockstat6: %w", err)
	}
	if six != nil {
		for _, p := range six.Protocols {
			if p.Protocol == "TCP6" {
				k.TCPSockets += uint64(p.InUse)
			}
		}
	}
	m, err := proc.Meminfo()
	if err != nil {
		return k, fmt.Errorf("/proc/meminfo: %w", err)
	}
	for _, field := range []struct {
		name string
		from *uint64
		to   *uint64
	}{
		{"Slab", m.SlabBytes, &k.Slab},
		{"SUnreclaim", m.SUnreclaimBytes, &k.SlabUnreclaimable},
		{"KernelStack", m.KernelStackBytes, &k.KernelStacks},
		{"PageTables", m.PageTablesBytes, &k.PageTables},
	} {
		if field.from == nil {
			return k, fmt.Errorf("/proc/meminfo: no line %s", field.name)
		}
		*field.to = *field.from
	}
	return k, nil
}
