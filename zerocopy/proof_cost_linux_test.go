//go:build proof

package zerocopy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"netbench/internal/proof"
)

// costs compares the server's CPU of all ways at n bytes.
func costs(t *testing.T, doc *proof.Page, path string, n int64) {
	m := measured{of: variants(t, Ways()...)}
	calls := make([]string, len(m.of))
	for round := range *proofRounds {
		all := contenders(t, path, n, round, m.of)
		m.rounds = append(m.rounds, inTurn(slicesOf(t, all, n, *proofSlice), round, *proofSlices))
		if round == 0 {
			for k, c := range all {
				calls[k] = c.calls(t, n, *proofSlice)
			}
		}
		end(t, all, n)
	}
	fmt.Fprintf(doc, `## %s at a time

%d rounds of %d slices of %v each. The ratio is of the server's CPU by KiB to that of the
best way with a user buffer under the same congestion control. The rate is that of one client
and informs: where the server has time to spare, client or pacing set it.

| congestion control | way | server CPU/KiB | ratio | MB/s | system calls/MiB |
|---|---|---|---|---|---|
`, FormatSize(n), *proofRounds, *proofSlices, *proofSlice)
	for k, v := range m.of {
		fmt.Fprintf(doc, "| %s | %v | %.1f ns | %s | %.0f | %s |\n", v.congestion, v.way, mean(m.column(k, sample.perKiB)),
			proof.Interval(m.ratio(bestBuffer(m, v.congestion), k, sample.perKiB)), mean(m.column(k, sample.rate))/1e6, calls[k])
	}
	judgeCost(t, doc, m)
	pacing(t, doc, path, n, m)
}

// bestBuffer is the way with a user buffer that costs least.
func bestBuffer(m measured, congestion string) int {
	return m.least(sample.perKiB, func(v variant) bool {
		return v.congestion == congestion && (v.way.Kind == KindBuffer || v.way.Kind == KindCopyHidden)
	})
}

// judgeCost says whether sendfile is as cheap as required, and if it is so only without
// the host's congestion control, that this is why.
func judgeCost(t *testing.T, doc *proof.Page, m measured) {
	controls := congestions(t)
	own, plain := controls[0], controls[len(controls)-1]
	sendfile := func(congestion string) int {
		return m.place(t, variant{way: Way{Kind: KindSendfile}, congestion: congestion})
	}
	cost := m.ratio(bestBuffer(m, own), sendfile(own), sample.perKiB)
	answer := atMost(cost, costLimit)
	fmt.Fprintf(doc, "\nsendfile spends at most %.1f of the best user buffer's server CPU (%v): %s, %s.\n\n",
		costLimit, m.of[bestBuffer(m, own)], proof.Interval(cost), answer)
	if own == plain {
		assert.Equal(t, met, answer, "sendfile's server CPU to that of a user buffer: %v", cost)
		return
	}
	bare := m.ratio(bestBuffer(m, plain), sendfile(plain), sample.perKiB)
	burden := m.ratio(sendfile(plain), sendfile(own), sample.perKiB)
	perKiB := func(k int) float64 { return mean(m.column(k, sample.perKiB)) }
	fmt.Fprintf(doc, `The same with %[1]s, which does not pace (%[2]v): %[3]s, %[4]s.

With %[5]s in place of %[1]s, and nothing else changed, sendfile's server CPU by KiB is %[6]s
of what it was: %.0[7]f ns more. What sendfile saves with %[1]s are %.0[8]f ns, those of two copies.

`, plain, m.of[bestBuffer(m, plain)], proof.Interval(bare), atMost(bare, costLimit), own, proof.Interval(burden),
		perKiB(sendfile(own))-perKiB(sendfile(plain)), perKiB(bestBuffer(m, plain))-perKiB(sendfile(plain)))
	if answer == met {
		return
	}
	own1, plain1 := perKiB(sendfile(own)), perKiB(sendfile(plain))
	copies := perKiB(bestBuffer(m, plain)) - plain1
	fmt.Fprintf(doc, `What is against it here: %.0[1]f of sendfile's %.0[2]f ns are what %[3]s costs more than %[4]s (what of
it is below), and the other %.0[5]f ns are TCP, over loopback the receiver's share of it too,
which every way pays. A user buffer adds two copies, %.0[6]f ns with the file in the cache, and
%.1[7]f needs more than %.0[8]f ns of them even without %[3]s.

`, own1-plain1, own1, own, plain, plain1, copies, costLimit, plain1*(1/costLimit-1))
	assert.NotEqual(t, missed, atMost(bare, costLimit), "sendfile's server CPU to that of a user buffer is %v with %s, and with %s %v", cost, own, plain, bare)
	assert.Greater(t, burden.Lo, 1.0, "sendfile costs too much with %s, which does not cost more than %s: %v", own, plain, burden)
}

// pacing shows that it is pacing, and nothing else of a congestion control, that costs:
// the same control with and without, by sendfile. The kernel arms a timer of high
// resolution when a paced connection has sent a packet too early for its rate. So the
// rate has to be one that the connection would exceed.
func pacing(t *testing.T, doc *proof.Page, path string, n int64, m measured) {
	bare := variant{way: Way{Kind: KindSendfile}, congestion: unpaced}
	slowed := bare
	slowed.pacing = int64(mean(m.column(m.place(t, bare), sample.rate)) / 2)
	paced := measured{of: []variant{bare, slowed}}
	for round := range *proofRounds {
		all := contenders(t, path, n, round, paced.of)
		paced.rounds = append(paced.rounds, inTurn(slicesOf(t, all, n, *proofSlice), round, *proofSlices))
		end(t, all, n)
	}
	r := paced.ratio(0, 1, sample.perKiB)
	fmt.Fprintf(doc, `## What pacing costs

sendfile with %[1]s, and with %[1]s that is paced (SO_MAX_PACING_RATE) at %.0[2]f MB/s, half of the
rate that it had above: %.1[3]f and %.1[4]f ns of server CPU by KiB, a ratio of %[5]s.
`, unpaced, float64(slowed.pacing)/1e6, mean(paced.column(0, sample.perKiB)), mean(paced.column(1, sample.perKiB)), proof.Interval(r))
	if r.Lo > 1 {
		doc.WriteString(`Nothing else differs, so it is pacing that costs: the kernel arms a timer for almost every
packet, which holds at most 64 KiB on loopback, and the next is sent when that has expired.
`)
	} else {
		doc.WriteString("So it is not certain here that pacing costs anything.\n")
	}
	doc.WriteString("\n")
}

// twins compares sendfile with io.Copy, which makes the same system call. It is judged
// under the control that does not pace: how fast a paced connection is depends on how fast
// it was found to be before, which no margin of a few percent can be seen through.
func twins(t *testing.T, doc *proof.Page, path string, n int64) {
	copied, direct := Way{Kind: KindCopy}, Way{Kind: KindSendfile}
	const passes = 8
	fmt.Fprintf(doc, `## sendfile beside io.Copy

Both make the same system call, io.Copy by way of package net. Rounds of %d slices of %v
each. sendfile is not slower if its rate and its server CPU by KiB are, with all of
their intervals, within %.0f %% of io.Copy's, or better. %s is to show it, as it does not pace;
no other may show the contrary.

| congestion control | rounds | rate, sendfile / io.Copy | server CPU/KiB, sendfile / io.Copy | |
|---|---|---|---|---|
`, passes, *proofSlice/2, 100*twinMargin, unpaced)
	for _, congestion := range congestions(t) {
		rounds := *twinRounds
		if congestion != unpaced {
			rounds = (rounds + 3) / 4
		}
		m := measured{of: []variant{{way: copied, congestion: congestion}, {way: direct, congestion: congestion}}}
		for round := range rounds {
			all := contenders(t, path, n, round, m.of)
			m.rounds = append(m.rounds, inTurn(slicesOf(t, all, n, *proofSlice/2), round, passes))
			end(t, all, n)
		}
		speed, burden := m.ratio(0, 1, sample.rate), m.ratio(0, 1, sample.perKiB)
		answer := atLeast(speed, 1-twinMargin)
		if answer != missed {
			if other := atMost(burden, 1+twinMargin); other != met {
				answer = other
			}
		}
		fmt.Fprintf(doc, "| %s | %d | %s | %s | %s |\n", congestion, rounds, proof.Interval(speed), proof.Interval(burden), answer)
		if congestion == unpaced {
			assert.Equal(t, met, answer, "rate %v, server CPU %v", speed, burden)
		}
		assert.NotEqual(t, missed, answer, "with %s: rate %v, server CPU %v", congestion, speed, burden)
	}
	doc.WriteString("\n")
}
