//go:build proof

package buffers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models/memory"
)

// inTurn interleaves the scenarios whose names begin so and hold all of the parts. It
// returns them and the comparison, in the same order.
func inTurn(t *testing.T, prefix string, parts ...string) ([]scenario.Scenario, *load.Comparison) {
	t.Helper()
	var chosen []scenario.Scenario
	var contenders []load.Contender
next:
	for _, s := range buffers.Scenarios() {
		if !strings.HasPrefix(s.Name, prefix+"/") {
			continue
		}
		for _, p := range parts {
			if !strings.Contains(s.Name+"/", "/"+p+"/") {
				continue next
			}
		}
		chosen = append(chosen, s)
		contenders = append(contenders, s.Contender(key(s.Name)))
	}
	require.GreaterOrEqual(t, len(chosen), 2, "%s %v", prefix, parts)
	plan, err := chosen[0].ComparingPlan()
	require.NoError(t, err)
	c, err := load.Interleave(t.Context(), load.Comparing{
		Plan: plan, Rounds: *proofRounds, Slices: *proofSlices, Slice: *proofSlice, Seed: 1,
		Progress: func(round, rounds int, took time.Duration, r *load.Round) {
			t.Logf("%s %v: round %d of %d, %.1f s %s", prefix, parts, round, rounds, took.Seconds(), r.Invalid)
		},
	}, contenders...)
	require.NoError(t, err)
	valid := 0
	for _, r := range c.Rounds {
		if r.Invalid == "" {
			valid++
		}
	}
	require.GreaterOrEqual(t, 2*valid, len(c.Rounds), "most rounds are invalid")
	return chosen, c
}

// key is the first part of a scenario's name behind the benchmark's, without its key.
func key(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	first, _, _ := strings.Cut(rest, "/")
	_, value, _ := strings.Cut(first, "=")
	return value
}

// indexOf is the place of a contender.
func indexOf(t *testing.T, c *load.Comparison, name string) int {
	t.Helper()
	for i, n := range c.Names {
		if n == name {
			return i
		}
	}
	t.Fatalf("no contender is called %s: %v", name, c.Names)
	return -1
}

// slope prints the memory of a connection with its interval.
func slope(s memory.Slope) string {
	if s.Lo == nil || s.Hi == nil {
		return fmt.Sprintf("%.0f", s.PerConn)
	}
	return fmt.Sprintf("%.0f (%.0f to %.0f)", s.PerConn, *s.Lo, *s.Hi)
}

// proveRead is B1.
func proveRead(t *testing.T) *section {
	s := &section{title: "B1: who owns the memory of a read"}
	s.printf("Echo, 100 connections, reads of up to 16 KiB. Ratios are to `conn`, a buffer for each connection; `loop` and `loop-conn` are models/reactor with a buffer for each loop and one for each connection. The memory of an idle connection, after it has echoed 16 KiB, is the server's, without the kernel's.\n")
	idle := map[string]memory.Slope{}
	for _, size := range []string{"size=64", "size=16384"} {
		chosen, c := inTurn(t, "Read", size)
		base := indexOf(t, c, "conn")
		s.printf("\nMessages of %s bytes:\n\n| owner | server CPU, µs | to `conn` | allocations | system calls | idle connection, bytes |\n|---|---|---|---|---|---|\n", strings.TrimPrefix(size, "size="))
		for i, name := range c.Names {
			if _, known := idle[name]; !known {
				r, err := memory.Measure(t.Context(), memory.Subject{Name: name, Server: chosen[i].Server},
					memory.Options{Conns: []int{*proofConns / 4, *proofConns / 2, *proofConns}, Repetitions: 2, Size: 16 << 10})
				require.NoError(t, err)
				idle[name] = r.User
			}
			to := ""
			if i != base {
				to = cell(c.Ratio(base, i, load.ServerCPUPerOp))
			}
			s.printf("| %s | %s | %s | %s | %s | %s |\n", name,
				figure("%.2f", 1e-3, c.Values(i, load.ServerCPUPerOp)), to,
				figure("%.2f", 1, c.Values(i, load.AllocsPerOp)), figure("%.2f", 1, c.Values(i, load.SyscallsPerOp)),
				slope(idle[name]))
		}
		cpu := func(a, b string) load.Ratio {
			return c.Ratio(indexOf(t, c, a), indexOf(t, c, b), load.ServerCPUPerOp)
		}
		bytes := strings.TrimPrefix(size, "size=")
		s.find("Messages of %s bytes, server CPU by request against a buffer for each connection: allocating one for each read %s; a sync.Pool, borrowed when there is input, %s; size classes %s. A buffer of the loop against one for each connection, in the same loop: %s.",
			bytes, verdict(cpu("conn", "each")), verdict(cpu("conn", "sync")), verdict(cpu("conn", "classes")), verdict(cpu("loop-conn", "loop")))
		if slices.Contains(c.Names, "sync-value") {
			s.find("Putting the slice in the pool and not a pointer to it: %s.", verdict(cpu("sync", "sync-value")))
		}
	}
	s.find("Folklore: \"a sync.Pool saves the memory of connections\". Of an idle connection: %.0f bytes with its own buffer, %.0f with one that was borrowed before the read blocked, %.0f with one that is borrowed when there is input, %.0f with a loop's. %s",
		idle["conn"].PerConn, idle["sync-blocked"].PerConn, idle["sync"].PerConn, idle["loop"].PerConn,
		holds(idle["sync-blocked"].PerConn > 0.8*idle["conn"].PerConn, "The pool saves nothing unless the read that borrows does not wait: false as it is said.", "True here."))
	assert.Less(t, idle["sync"].PerConn, idle["conn"].PerConn)
	return s
}

// holds chooses a sentence.
func holds(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// proveLine is B3.
func proveLine(t *testing.T) *section {
	s := &section{title: "B3: when a line server should flush"}
	s.printf("The line protocol through a bufio.Reader and a bufio.Writer of 16 KiB, 50 connections, of which each has so many requests outstanding. `each` flushes after each reply, `idle` when no whole line is buffered any more.\n\n")
	s.printf("| outstanding | CPU by request, each, µs | idle, µs | idle to each | system calls, each | idle | rate, idle to each |\n|---|---|---|---|---|---|---|\n")
	for _, pipeline := range []int{1, 16, 64} {
		_, c := inTurn(t, "Line", fmt.Sprintf("pipeline=%d", pipeline))
		each, idle := indexOf(t, c, "each"), indexOf(t, c, "idle")
		r := c.Ratio(each, idle, load.ServerCPUPerOp)
		s.printf("| %d | %s | %s | %s | %s | %s | %s |\n", pipeline,
			figure("%.2f", 1e-3, c.Values(each, load.ServerCPUPerOp)), figure("%.2f", 1e-3, c.Values(idle, load.ServerCPUPerOp)), cell(r),
			figure("%.3f", 1, c.Values(each, load.SyscallsPerOp)), figure("%.3f", 1, c.Values(idle, load.SyscallsPerOp)),
			cell(c.RateRatio(each, idle)))
		s.find("%d outstanding: flushing when no line waits changes the server's CPU by request: %s.", pipeline, verdict(r))
		if pipeline == 64 {
			assert.Less(t, r.Hi, 1.0, "joining replies must show where there are many: %v", r)
		}
	}
	s.find("Flushing when nothing at all is buffered, as is often written, is not the same: the beginning of a line then holds back replies that its sender waits for (a test shows it). Where one request is outstanding, the two servers make the same writes.")
	return s
}

// Beginnings of the names of calls whose requests are written at once.
const (
	wholeReply = "request=whole/reply=whole/"
	splitReply = "request=whole/reply=split/"
)

// proveSmall is B6.
func proveSmall(t *testing.T) *section {
	s := &section{title: "B6: small writes"}
	s.printf("Replies of 4 and 64 bytes to 50 connections, in one write (`joined`), in two (`split`), in two between TCP_CORK on and off, in two of which the first has MSG_MORE. A percentile is left out where it is not valid, as where the client was the limit.\n\n| Nagle | way | p50, µs | p99, µs | server CPU, µs | system calls | CPU, to `joined` |\n|---|---|---|---|---|---|---|\n")
	for _, nagle := range []string{"off", "on"} {
		_, c := inTurn(t, "Small", "nagle="+nagle)
		joined := indexOf(t, c, "joined")
		for i, name := range c.Names {
			to := ""
			if i != joined {
				to = cell(c.Ratio(joined, i, load.ServerCPUPerOp))
			}
			q, err := c.Latency(i)
			require.NoError(t, err)
			p50, p99 := "", ""
			if q != nil && q.P50 != nil {
				p50 = fmt.Sprintf("%.0f", float64(*q.P50)/1e3)
			}
			if q != nil && q.P99 != nil {
				p99 = fmt.Sprintf("%.0f", float64(*q.P99)/1e3)
			}
			s.printf("| %s | %s | %s | %s | %s | %s | %s |\n", nagle, name, p50, p99,
				figure("%.2f", 1e-3, c.Values(i, load.ServerCPUPerOp)), figure("%.2f", 1, c.Values(i, load.SyscallsPerOp)), to)
		}
		for _, way := range c.Names {
			if way == "joined" {
				continue
			}
			s.find("Nagle %s, %s against one write, server CPU by request: %s.", nagle, way, verdict(c.Ratio(joined, indexOf(t, c, way), load.ServerCPUPerOp)))
		}
	}

	s.printf("\nThe client's half: 2,000 exchanges of 64 bytes, or 200 where they stall, one after the other.\n\n| request | stalls | p50 (p5 to p95), µs |\n|---|---|---|\n")
	medians := map[string]float64{} // ms
	var stalling, flowing []string
	for _, c := range calls() {
		stalls, took := proveCalls(t, c)
		at := func(share float64) float64 { return float64(took[int(share*float64(len(took)-1))]) / 1e3 }
		medians[c.name] = at(0.5) / 1e3
		s.printf("| %s | %.1f %% of %d | %.0f (%.0f to %.0f) |\n", c.name, 100*stalls, len(took), at(0.5), at(0.05), at(0.95))
		if stalls > 0.5 {
			stalling = append(stalling, c.name)
		} else if stalls < 0.05 {
			flowing = append(flowing, c.name)
		}
	}
	s.find("Of exchanges on one connection, more than half stalled with: %s. Less than one in twenty did with: %s.", list(stalling), list(flowing))
	with, without := medians[splitReply+"nagle=server/quickack=none"], medians[splitReply+"nagle=none/quickack=none"]
	s.find("One connection, a reply in two writes: %.2f ms (median) with Nagle's algorithm and %.2f ms without; in one write %.2f and %.2f ms. Folklore: \"TCP_NODELAY makes a server faster\". %s",
		with, without, medians[wholeReply+"nagle=both/quickack=none"], medians[wholeReply+"nagle=none/quickack=none"],
		holds(medians[wholeReply+"nagle=both/quickack=none"] < 2*medians[wholeReply+"nagle=none/quickack=none"],
			"It does what joining the writes does, and to a server that writes each reply at once it does nothing that shows here.", "True here of joined writes too."))
	assert.Greater(t, with, 10*without, "a reply in two writes must stall: %v", medians)
	return s
}
