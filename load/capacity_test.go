package load

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// capacityPlan is a plan whose limits are of interest.
func capacityPlan(t *testing.T, conns, processes, most int) *Plan {
	t.Helper()
	p, err := Plan{Targets: targets(t, "tcp://127.0.0.1:7"), Conns: conns, Processes: processes, MaxProcesses: most}.Normalize()
	require.NoError(t, err)
	return &p
}

func TestConnectionsAreSpreadOverAsManyProcessesAsTheyNeed(t *testing.T) {
	room := descriptorRoom() - spareDescriptors
	if room > 1<<20 {
		t.Skip("this process may open so many descriptors that one is always enough")
	}
	const slack = 50 // other tests open descriptors too
	for _, c := range []struct{ conns, asked, want int }{
		{1, 0, 1}, {room - slack, 0, 1}, {room + slack, 0, 2}, {5 * (room - slack), 0, 5}, {100, 3, 3},
	} {
		n, err := processesFor(capacityPlan(t, c.conns, c.asked, 64))
		require.NoError(t, err)
		assert.Equal(t, c.want, n, "%d connections", c.conns)
	}
}

func TestMoreConnectionsThanAllProcessesMayHoldAreBadInput(t *testing.T) {
	room := descriptorRoom() - spareDescriptors
	if room > 1<<20 {
		t.Skip("this process may open so many descriptors that one is always enough")
	}
	conns := 3*room + 1000
	p := capacityPlan(t, conns, 0, 3)
	_, err := processesFor(p)
	assertBadInput(t, err, "conns is "+strconv.Itoa(conns), "3 generator processes", "ulimit -n")
	_, err = Run(t.Context(), *p)
	assertBadInput(t, err, "conns is "+strconv.Itoa(conns), "3 generator processes")

	_, err = processesFor(capacityPlan(t, conns, 2, 64))
	assertBadInput(t, err, "2 generator processes", "more processes")
	_, err = processesFor(capacityPlan(t, conns, 1, 64))
	assertBadInput(t, err, "1 generator process ")
	_, err = processesFor(capacityPlan(t, 2, 3, 64))
	assertBadInput(t, err, "processes is 3", "2 connections")
}

func TestOneAddressIsNotAskedForMorePortsThanThereAre(t *testing.T) {
	p := capacityPlan(t, 30_000, 0, 64)
	p.Targets = targets(t, "tcp://[::1]:7")
	_, err := processesFor(p)
	assertBadInput(t, err, "conns is 30000", "tcp://[::1]:7", "more targets")
	p.Targets = targets(t, "tcp://[::1]:7", "tcp://[::1]:8")
	_, err = processesFor(p)
	assert.NoError(t, err)
	p.Targets = targets(t, "unix:///run/s")
	_, err = processesFor(p)
	assert.NoError(t, err, "a Unix socket has no ports")
}

func TestNoSourceAddressServesMoreConnectionsThanItHasPorts(t *testing.T) {
	used := map[[4]byte]int{}
	for n := range 200_000 {
		addr, set := heldSource(n, 1)
		if !set {
			addr = [4]byte{127, 0, 0, 1} // the kernel's choice
		}
		used[addr]++
	}
	assert.Len(t, used, 10)
	for addr, n := range used {
		assert.LessOrEqual(t, n, localPorts)
		assert.Equal(t, byte(127), addr[0])
	}
	_, set := heldSource(39_999, 2)
	assert.False(t, set, "with two targets each source has twice as many")

	all := map[[4]byte]bool{}
	for n := range 100_000 {
		addr, set := sourceAddress(n + 1)
		require.True(t, set)
		assert.False(t, all[addr], "%v comes twice", addr)
		assert.NotContains(t, []byte{0, 1, 255}, addr[3], "no network, first or broadcast address")
		all[addr] = true
	}
}

func TestThreadsOfConnectModeShareNoSourceAddress(t *testing.T) {
	owner := map[[4]byte]int{}
	for shard := range 5 {
		for n := range 100 {
			addr, set := connectSource(shard, n)
			if !set {
				continue
			}
			if before, known := owner[addr]; known {
				assert.Equal(t, before, shard)
			}
			owner[addr] = shard
		}
	}
	assert.Len(t, owner, 5*connectSources-1, "one is left to the kernel")
}
