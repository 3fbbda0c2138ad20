//go:build proof

package buffers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
	"netbench/testenv/link"
)

// proveWriter is B2.
func proveWriter(t *testing.T) *section {
	where, err := place()
	require.NoError(t, err)
	s := &section{title: "B2: sizes of a bufio.Writer"}
	s.printf("14,000 bytes, flushed, 100 times over loopback. In pieces, the program writes 100 bytes at a time; whole, 14,000 at once.\n")
	for _, whole := range []bool{false, true} {
		flows := buffers.Writers(whole)
		out, err := buffers.Interleave(t.Context(), buffers.Turns{
			Rounds: *proofRounds, Slices: *proofSlices, Slice: *proofSlice, Seed: 1,
			At: buffers.StreamOptions{CPUs: where.Server, StartTimeout: time.Minute},
		}, flows...)
		require.NoError(t, err)
		s.printf("\n| buffer | MB/s | server CPU, ns/KiB | to 4 KiB | system calls/MiB |\n|---|---|---|---|---|\n")
		const base = 2 // 4 KiB
		ratio := func(a, b int) load.Ratio { return buffers.RatioOf(buffers.Moved.CPUPerKiB, out[a], out[b]) }
		for i, f := range flows {
			sum := buffers.Sum(out[i])
			counted, to := "", ""
			if v, ok := sum.SyscallsPerMiB(); ok {
				counted = fmt.Sprintf("%.1f", v)
			}
			if i != base {
				to = cell(ratio(base, i))
			}
			s.printf("| %s | %.0f | %.1f | %s | %s |\n", f.Name, sum.Rate()/1e6, sum.CPUPerKiB(), to, counted)
		}
		if whole {
			s.find("Written as 14,000 bytes at once, against none, server CPU by KiB: 1 KiB %s; 8 KiB %s; 16 KiB, which copies, %s; 64 KiB %s. Folklore: \"tune the buffer's size\". Where each write is larger than the buffer it is one system call whatever the size: %s",
				verdict(ratio(0, 1)), verdict(ratio(0, 3)), verdict(ratio(0, 4)), verdict(ratio(0, 6)),
				holds(small(ratio(0, 1)) && small(ratio(0, 3)), "there is nothing to tune, and who measures there finds noise.", "that it makes no difference is not shown here."))
			continue
		}
		s.find("Written in pieces of 100 bytes, against no buffer, server CPU by KiB: 1 KiB %s; 4 KiB %s.", verdict(ratio(0, 1)), verdict(ratio(0, 2)))
		s.find("From 4 to 16 KiB, which holds the whole payload: %s. From 16 to 64 KiB: %s. %s",
			verdict(ratio(2, 4)), verdict(ratio(4, 6)), holds(ratio(4, 6).Lo >= 1-notable,
				"A buffer is large enough when it holds what is flushed at once.", "That more helps is not excluded here."))
		assert.Less(t, ratio(0, 2).Hi, 1.0, "a buffer must help small writes")
	}
	return s
}

// articles are the limits of TCP's buffers that articles recommend. Their others, of
// net.core, are not TCP's unless a program asks for sizes.
var articles = map[string]string{
	"tcp_rmem": "4096 87380 16777216",
	"tcp_wmem": "4096 65536 16777216",
}

// follow gives both ends of a link the limits that articles recommend. An end has its own.
func follow(l *link.Link) error {
	for _, end := range []*link.End{l.A(), l.B()} {
		err := end.Do(func() error {
			for name, value := range articles {
				if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// over measures flows over a distance, in rounds with links and servers of their own, the
// last of the flows between hosts that follow the articles if last says so. It returns
// out[flow][round].
func over(t *testing.T, d distance, flows []buffers.Flow, last bool) [][]buffers.Steady {
	t.Helper()
	out := make([][]buffers.Steady, len(flows))
	random := rand.New(rand.NewPCG(uint64(d.roundTrip), uint64(d.rate)))
	plain := len(flows)
	if last {
		plain--
	}
	for round := range farRounds() {
		parts := []func(){
			func() { overLink(t, d, flows[:plain], random.Perm(plain), out, func(*link.Link) error { return nil }) },
			func() { overLink(t, d, flows[plain:], []int{0}, out[plain:], follow) },
		}
		if !last {
			parts = parts[:1]
		}
		for _, i := range random.Perm(len(parts)) {
			parts[i]()
		}
		t.Logf("%v: round %d of %d", d, round+1, farRounds())
	}
	return out
}

// overLink measures flows in an order over a link that is prepared before a server is
// started at it, and appends what was measured to out.
func overLink(t *testing.T, d distance, flows []buffers.Flow, order []int, out [][]buffers.Steady, prepare func(*link.Link) error) {
	t.Helper()
	where, err := place()
	require.NoError(t, err)
	l, err := d.link(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	require.NoError(t, prepare(l))
	s, err := buffers.StartStream(t.Context(), buffers.StreamOptions{Over: l, CPUs: where.Server, StartTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Kill()) }()
	for _, i := range order {
		m, err := buffers.Measure(t.Context(), s, flows[i], d.settling(), *proofSpan)
		require.NoError(t, err, "%v %s", d, flows[i].Name)
		out[i] = append(out[i], m)
	}
}

// resent is the number of segments that were sent again.
func resent(all []buffers.Steady) (n uint32) {
	for _, s := range all {
		n += s.Resent
	}
	return n
}

// moved is what was moved, by round.
func moved(all []buffers.Steady) (m []buffers.Moved) {
	for _, s := range all {
		m = append(m, s.Moved)
	}
	return m
}

// proveDistance is B4.
func proveDistance(t *testing.T) *section {
	s := &section{title: "B4: buffers of the program, near and far"}
	s.printf("Records of 512 bytes through a bufio.Writer, read through a buffer of the same size, over shaped links; socket buffers tune themselves. The claim: 4 to 8 KiB suffices locally, a WAN needs 16 to 64 KiB.\n\n| round trip and rate | buffer | MB/s | rate, to 64 KiB | server CPU, ns/KiB | CPU, to 64 KiB | segments sent again |\n|---|---|---|---|---|---|---|\n")
	var flows []buffers.Flow
	for _, size := range bufferSizes() {
		flows = append(flows, throughBuffer(size))
	}
	last := len(flows) - 1
	var worse, same, unknown, costly []string
	far, farSame := 0, 0
	for _, d := range distances() {
		out := over(t, d, flows, false)
		for i, f := range flows {
			sum := buffers.Sum(moved(out[i]))
			rate, cost := "", ""
			if i != last {
				rate = cell(buffers.RatioOf(buffers.Moved.Rate, moved(out[last]), moved(out[i])))
				cost = cell(buffers.RatioOf(buffers.Moved.CPUPerKiB, moved(out[last]), moved(out[i])))
			}
			s.printf("| %v | %s | %.2f | %s | %s | %s | %d |\n", d, f.Name, sum.Rate()/1e6, rate, figure("%.0f", 1, []float64{sum.CPUPerKiB()}), cost, resent(out[i]))
		}
		rate := buffers.RatioOf(buffers.Moved.Rate, moved(out[last]), moved(out[0]))
		switch {
		case slower(rate):
			worse = append(worse, fmt.Sprintf("%v (%s)", d, verdict(rate)))
		case asFast(rate):
			same = append(same, d.String())
		default:
			unknown = append(unknown, fmt.Sprintf("%v (%s)", d, cell(rate)))
		}
		if d.roundTrip >= 20*time.Millisecond {
			far++
			if asFast(rate) {
				farSame++
			}
		}
		if cost := buffers.RatioOf(buffers.Moved.CPUPerKiB, moved(out[last]), moved(out[0])); differs(cost) && cost.Mean > 1+notable {
			costly = append(costly, fmt.Sprintf("%v (%s)", d, verdict(cost)))
		}
	}
	s.find("4 KiB was slower than 64 KiB by more than %.0f %% at: %s. It is shown not to be at: %s. Neither is shown at: %s.",
		100*notable, list(worse), list(same), list(unknown))
	s.find("It cost the server more CPU at: %s.", list(costly))
	s.find("Folklore: \"a WAN needs larger buffers in the program\". %s", holds(farSame == far,
		"False here: the distance asks for the kernel's buffers to be large (B5), and the program's buffer saves system calls, far and near alike.",
		fmt.Sprintf("At %d of %d distances of 20 ms and more it does not, here; whether it is the distance or the rate that makes the others differ, the table tells.", farSame, far)))
	return s
}

func list(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// proveSocket is B5.
func proveSocket(t *testing.T, limits buffers.KernelLimits) *section {
	s := &section{title: "B5: buffers of the kernel"}
	s.printf("SO_RCVBUF at the receiver and SO_SNDBUF at the sender, each as large as the other, against auto-tuning. What is more than rmem_max or wmem_max is given by force, as a host would whose limits are larger, for which articles advise 16777216; what this host gives to a program that asks for 16 MiB is beside it. Given is what getsockopt returned at the end: twice what was asked, and with auto-tuning what it had arrived at. The ceiling is the receiver's buffer for each round trip; the kernel counts its bookkeeping in, so that less than that is data. Limited is the share of the sender's busy time in which the receiver's window, or its own buffer, held it back (TCP_INFO). As advised is auto-tuning between hosts with tcp_rmem %s and tcp_wmem %s, as articles have it. Their net.core.rmem_default and wmem_default of 262144 are not TCP's: tcp_rmem and tcp_wmem have defaults of their own, which override them (Documentation/networking/ip-sysctl.rst).\n\n| round trip and rate | product, KiB | asked | given, rcv / snd, KiB | ceiling, MB/s | MB/s | rate, to auto | limited, rcv / snd | segments sent again |\n|---|---|---|---|---|---|---|---|---|\n", articles["tcp_rmem"], articles["tcp_wmem"])
	sizes := socketSizes()
	var flows []buffers.Flow
	for _, size := range sizes {
		flows = append(flows, withSockets(size, limits))
	}
	largest, asking := len(sizes)-1, len(sizes)-1
	if flows[largest].Order.Force { // which is one thing, and to ask for it another
		asking = len(flows)
		flows = append(flows, withSockets(largestSocket, buffers.KernelLimits{ReceiveMost: largestSocket, SendMost: largestSocket}))
	}
	auto := len(flows)
	advised := withSockets(0, limits)
	advised.Name = "sockets=auto, as advised"
	flows = append(flows, withSockets(0, limits), advised)
	var asked16 buffers.Steady // what came of asking for 16 MiB, last
	for _, d := range socketDistances() {
		out := over(t, d, flows, true)
		to := func(i int) load.Ratio { return buffers.RatioOf(buffers.Moved.Rate, moved(out[auto]), moved(out[i])) }
		product, enough := "", ""
		if d.rate > 0 {
			product = fmt.Sprintf("%.0f", float64(buffers.Product(d.rate, d.roundTrip))/1024)
		}
		var worse []string
		for i, f := range flows {
			sum, end, ratio := buffers.Sum(moved(out[i])), out[i][len(out[i])-1], ""
			if i != auto {
				ratio = cell(to(i))
			}
			if i < len(sizes) {
				switch {
				case slower(to(i)):
					worse = append(worse, fmt.Sprintf("%s (%s)", f.Name, verdict(to(i))))
				case enough == "" && asFast(to(i)):
					enough = f.Name
				}
			}
			ceiling := "none"
			if c := buffers.Ceiling(int64(end.Receiver.ReceiveBuffer), d.roundTrip); c > 0 {
				ceiling = fmt.Sprintf("%.2f", c/1e6)
			}
			share := func(v time.Duration) float64 { return 100 * v.Seconds() / max(end.Sender.Busy.Seconds(), 1e-9) }
			s.printf("| %v | %s | %s | %d / %d | %s | %.2f | %s | %.0f %% / %.0f %% | %d |\n", d, product, f.Name,
				end.Receiver.ReceiveBuffer>>10, end.Sender.SendBuffer>>10, ceiling, sum.Rate()/1e6, ratio,
				share(end.Sender.ReceiverBound), share(end.Sender.BufferBound), resent(out[i]))
			if i < auto && d.roundTrip > 0 {
				given := limits.Granted(f.Reading.ReceiveBuffer, true)
				if f.Reading.Force {
					given = 2 * f.Reading.ReceiveBuffer
				}
				assert.Equal(t, given, end.Receiver.ReceiveBuffer, "%v %s", d, f.Name)
				assert.Less(t, sum.Rate(), 1.1*max(buffers.Ceiling(int64(given), d.roundTrip), 1e4), "%v %s: more than a window each round trip", d, f.Name)
			}
		}
		asked16 = out[asking][len(out[asking])-1]
		s.find("%v%s: slower than auto-tuning by more than %.0f %%: %s. The smallest that is shown not to be: %s.",
			d, holds(product == "", "", ", a product of "+product+" KiB"), 100*notable, list(worse), holds(enough == "", "none", enough))
		s.find("%v: buffers of 16 MiB against auto-tuning, rate: %s; asking for them as a program can here: %s. Auto-tuning with the limits that articles advise: %s.",
			d, verdict(to(largest)), verdict(to(asking)), verdict(to(auto+1)))
	}
	s.find("Folklore: \"set SO_RCVBUF and SO_SNDBUF to 16 MiB\". The kernel gave %d and %d KiB for it (%s) and switched auto-tuning off, which may go up to %d and %d KiB here.",
		asked16.Receiver.ReceiveBuffer>>10, asked16.Sender.SendBuffer>>10,
		holds(asking != largest, "less than asked, without an error: rmem_max and wmem_max are lower", "twice what was asked"),
		limits.ReceiveTuning[2]>>10, limits.SendTuning[2]>>10)
	return s
}

// proveCalls makes exchanges and returns the share that stalled, and how long each took, the
// shortest first.
func proveCalls(t *testing.T, c call) (stalls float64, took []time.Duration) {
	t.Helper()
	where, err := place()
	require.NoError(t, err)
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: c.server, Service: "frame", CPUs: where.Server, StartTimeout: time.Minute, Config: models.Config{NoDelay: c.noDelay},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Kill()) }()
	calls := c.calls
	calls.Address, calls.Size, calls.Count = s.Addr(), 64, 200
	took, err = calls.Do(t.Context())
	require.NoError(t, err)
	if buffers.Stalls(took) < len(took)/10 {
		calls.Count = 2000
		took, err = calls.Do(t.Context())
		require.NoError(t, err)
	}
	stalls = float64(buffers.Stalls(took)) / float64(len(took))
	slices.Sort(took)
	return stalls, took
}

// provePool is the pool of size classes beside others.
func provePool(t *testing.T) *section {
	everywhere(t)
	require.NoError(t, flag.Set("test.benchtime", "200ms")) // and the rounds tell how sure it is
	s := &section{title: "The pool of size classes"}
	s.printf("A buffer is borrowed, a byte of each cache line is written, and it is given back, by %d goroutines on all CPUs, in a process whose heap is small, so that allocating calls for a collection at each 4 MiB. `mixed` is 200 bytes to 64 KiB. Kept is what the heap holds after 2,000 buffers of 32 KiB were lent at once and given back.\n\n| pool | 4 KiB, ns | to `sync` | allocations | mixed, ns | to `sync` | allocations | kept after 1 GC, KiB | after 3, KiB |\n|---|---|---|---|---|---|---|---|---|\n", runtime.GOMAXPROCS(0))
	times, allocs := map[string][]float64{}, map[string][]float64{} // by pool and mix
	for range *proofRounds {
		all := lenders()
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, l := range all {
			for mix, sizes := range mixes {
				r := testing.Benchmark(func(b *testing.B) { borrowing(b, l, sizes) })
				require.Positive(t, r.N, "%s %s", l.name, mix)
				times[l.name+mix] = append(times[l.name+mix], float64(r.T.Nanoseconds())/float64(r.N))
				allocs[l.name+mix] = append(allocs[l.name+mix], float64(r.MemAllocs)/float64(r.N))
			}
		}
	}
	compare := func(mix, a, b string) load.Ratio { return load.RatioOf(times[a+mix], times[b+mix]) }
	kept := map[string]testing.BenchmarkResult{}
	for _, l := range lenders() {
		kept[l.name] = testing.Benchmark(func(b *testing.B) { bursting(b, l) })
		require.Positive(t, kept[l.name].N, l.name)
		s.printf("| %s |", l.name)
		for _, mix := range []string{"4KiB", "mixed"} {
			to := ""
			if l.name != "sync" {
				to = cell(compare(mix, "sync", l.name))
			}
			s.printf(" %s | %s | %s |", figure("%.0f", 1, times[l.name+mix]), to, figure("%.2f", 1, allocs[l.name+mix]))
		}
		s.printf(" %.0f | %.0f |\n", kept[l.name].Extra["kept-1gc-B"]/1024, kept[l.name].Extra["kept-3gc-B"]/1024)
	}
	s.find("Against sync.Pool, time by loan: the classes %s at 4 KiB and %s mixed; bytebufferpool %s and %s; allocating %s and %s.",
		verdict(compare("4KiB", "sync", "classes")), verdict(compare("mixed", "sync", "classes")),
		verdict(compare("4KiB", "sync", "bytebufferpool")), verdict(compare("mixed", "sync", "bytebufferpool")),
		verdict(compare("4KiB", "sync", "none")), verdict(compare("mixed", "sync", "none")))
	s.find("After a burst of 2,000 buffers of 32 KiB the classes keep %.0f KiB, sync.Pool %.0f after one collection and %.0f after three, bytebufferpool %.0f and %.0f.",
		kept["classes"].Extra["kept-1gc-B"]/1024, kept["sync"].Extra["kept-1gc-B"]/1024, kept["sync"].Extra["kept-3gc-B"]/1024,
		kept["bytebufferpool"].Extra["kept-1gc-B"]/1024, kept["bytebufferpool"].Extra["kept-3gc-B"]/1024)
	assert.LessOrEqual(t, kept["classes"].Extra["kept-1gc-B"], float64(8<<20), "the pool is bounded")
	return s
}
