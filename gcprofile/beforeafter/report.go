package beforeafter

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aclements/go-moremath/stats"

	"netbench/load"
)

// An Interval is a mean over rounds with its 95 % interval, Student's. With fewer
// than two rounds it has no bounds.
type Interval struct {
	N    int      `json:"n"`
	Mean float64  `json:"mean"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`
}

func intervalOf(values []float64) Interval {
	if len(values) < 2 {
		return Interval{N: len(values), Mean: stats.Mean(values)}
	}
	mean, lo, hi := stats.MeanCI(values, 0.95)
	lo = max(0, lo) // no metric is below 0
	return Interval{len(values), mean, &lo, &hi}
}

// A Row is one metric of both services. Naive and Tuned are nil where no block has
// it, and Ratio, tuned over naive, where no round has both above zero.
type Row struct {
	Metric string      `json:"metric"`
	Naive  *Interval   `json:"naive,omitempty"`
	Tuned  *Interval   `json:"tuned,omitempty"`
	Ratio  *load.Ratio `json:"ratio,omitempty"`

	metric *metric
}

// Verdicts on a bound.
const (
	Met       = "met"       // the whole interval is within it
	Failed    = "failed"    // the whole interval is beyond it
	Undecided = "undecided" // neither, or it could not be measured
)

// A Bound is what is required of the ratio of tuned to naive.
type Bound struct {
	Metric  string      `json:"metric"`
	AtMost  float64     `json:"at_most"`
	Ratio   *load.Ratio `json:"ratio,omitempty"`
	Verdict string      `json:"verdict"`

	title string
}

// required are the bounds.
var required = []Bound{
	{Metric: allocsPerRequest, AtMost: 1.0 / 4, title: "at most a quarter of the allocations per request"},
	{Metric: collectionsRate, AtMost: 1.0 / 3, title: "at least 3 times fewer collections"},
	{Metric: p99, AtMost: 1, title: "p99 not worse (tuned: at most)"},
}

// judge gives a verdict on a bound. A ratio of fewer than two rounds has no interval
// and is not judged.
func (b Bound) judge(r *load.Ratio) Bound {
	b.Ratio, b.Verdict = r, Undecided
	if r == nil || r.N < 2 {
		return b
	}
	switch {
	case r.Hi <= b.AtMost:
		b.Verdict = Met
	case r.Lo > b.AtMost:
		b.Verdict = Failed
	}
	return b
}

// A Report is what came of a comparison.
type Report struct {
	Products int       `json:"products"`
	Items    int       `json:"items"`
	Conns    int       `json:"conns"`
	Rate     float64   `json:"rate"`               // requests a second, to both
	Capacity float64   `json:"capacity,omitempty"` // of the naive service, if the rate is a share of it
	Rounds   int       `json:"rounds"`             // that count
	BlockS   float64   `json:"block_s"`
	Naive    Collector `json:"naive_collector"`
	Tuned    Collector `json:"tuned_collector"`

	Rows        []Row        `json:"metrics"`
	NaivePauses PauseSummary `json:"naive_pauses"`
	TunedPauses PauseSummary `json:"tuned_pauses"`
	Bounds      []Bound      `json:"bounds"`
	Warnings    []string     `json:"warnings,omitempty"`
	Blocks      []*Block     `json:"blocks"`
}

// report sums blocks up.
func (r *run) report(capacity float64, blocks []*Block) *Report {
	p := &Report{
		Products: r.Products, Items: r.Items, Conns: r.Conns, Rate: r.Rate, Capacity: capacity,
		BlockS: r.Block.Seconds(), Naive: byDefault, Tuned: r.Tuned, Blocks: blocks,
	}
	naive, tuned := p.rounds()
	p.Rounds = len(naive)
	p.NaivePauses, p.TunedPauses = summarize(naive), summarize(tuned)
	for i := range table {
		p.Rows = append(p.Rows, rowOf(&table[i], naive, tuned))
	}
	for _, b := range required {
		judged := b.judge(p.row(b.Metric).Ratio)
		if b.Metric == p99 {
			worst := b.judge(worstP99(naive, tuned))
			if worst.Verdict == Failed && judged.Verdict != Failed {
				worst.Verdict = Undecided // it may have been the generator
			}
			judged = worst
		}
		p.Bounds = append(p.Bounds, judged)
	}
	p.warn(append(naive, tuned...))
	return p
}

func (p *Report) row(key string) *Row {
	return &p.Rows[slices.IndexFunc(p.Rows, func(r Row) bool { return r.Metric == key })]
}

// rounds are the blocks of the rounds that count, of each service in order, and notes
// why others do not.
func (p *Report) rounds() (naive, tuned []*Block) {
	type pair struct{ naive, tuned *Block }
	pairs := map[int]*pair{}
	for _, b := range p.Blocks {
		if pairs[b.Round] == nil {
			pairs[b.Round] = &pair{}
		}
		if b.Style == naiveStyle {
			pairs[b.Round].naive = b
		} else {
			pairs[b.Round].tuned = b
		}
		if b.Invalid != "" {
			p.Warnings = append(p.Warnings, fmt.Sprintf("round %d does not count: %s: %s", b.Round+1, b.Style, b.Invalid))
		}
	}
	for _, round := range slices.Sorted(maps.Keys(pairs)) {
		of := pairs[round]
		if of.naive != nil && of.tuned != nil && of.naive.Invalid == "" && of.tuned.Invalid == "" {
			naive, tuned = append(naive, of.naive), append(tuned, of.tuned)
		}
	}
	return naive, tuned
}

// rowOf is a metric of blocks that are paired by round.
func rowOf(m *metric, naive, tuned []*Block) Row {
	row := Row{Metric: m.key, metric: m}
	var ns, ts, paired, with []float64
	for i := range naive {
		n, okN := m.of(naive[i])
		t, okT := m.of(tuned[i])
		if okN {
			ns = append(ns, n)
		}
		if okT {
			ts = append(ts, t)
		}
		if okN && okT && n > 0 && t > 0 {
			paired, with = append(paired, n), append(with, t)
		}
	}
	if len(ns) > 0 {
		i := intervalOf(ns)
		row.Naive = &i
	}
	if len(ts) > 0 {
		i := intervalOf(ts)
		row.Tuned = &i
	}
	if len(paired) > 0 {
		ratio := load.RatioOf(paired, with)
		row.Ratio = &ratio
	}
	return row
}

// worstP99 is the ratio that speaks most against the tuned service: its p99 has the
// generator's lag in it, that of the naive one has to be known without.
func worstP99(naive, tuned []*Block) *load.Ratio {
	var ns, ts []float64
	for i := range naive {
		if n, t := naive[i].P99, tuned[i].P99AtMost; n != nil && t != nil && *n > 0 && *t > 0 {
			ns, ts = append(ns, *n), append(ts, *t)
		}
	}
	if len(ns) == 0 {
		return nil
	}
	ratio := load.RatioOf(ns, ts)
	return &ratio
}

// several is the number of collections from which on a block tells something of them.
const several = 3

// warn notes what to keep in mind.
func (p *Report) warn(blocks []*Block) {
	short, absent := map[string]int{}, map[string]int{}
	type key struct{ style, percentile string }
	type many struct {
		blocks int
		most   int64 // ns
	}
	late := map[key]many{}
	for _, b := range blocks {
		if b.Runtime.Collections < several {
			short[b.Style]++
		}
		for _, why := range b.Reasons {
			absent[b.Style+": "+why]++
		}
		for _, lag := range b.Late {
			k := key{b.Style, lag.Percentile}
			late[k] = many{late[k].blocks + 1, max(late[k].most, lag.By)}
		}
	}
	for _, style := range slices.Sorted(maps.Keys(short)) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s: %d blocks with fewer than %d collections (use longer blocks)", style, short[style], several))
	}
	for _, why := range slices.Sorted(maps.Keys(absent)) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s (%d blocks)", why, absent[why]))
	}
	for _, style := range []string{naiveStyle, tunedStyle} {
		for _, percentile := range []string{"p50", "p99"} {
			if l := late[key{style, percentile}]; l.blocks > 0 {
				p.Warnings = append(p.Warnings, fmt.Sprintf("%s: %s left out of %d blocks: the generator sent late, by %v at most at the same percentile",
					style, percentile, l.blocks, time.Duration(l.most)))
			}
		}
	}
}

// Worst is the worst verdict of all bounds.
func (p *Report) Worst() string {
	worst := Met
	for _, b := range p.Bounds {
		if b.Verdict == Failed {
			return Failed
		}
		if b.Verdict == Undecided {
			worst = Undecided
		}
	}
	return worst
}

// quantile is the bound of the bucket with the q-quantile, by nearest rank.
func quantile(counts map[time.Duration]uint64, total uint64, q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(total)))
	seen := uint64(0)
	bounds := slices.Sorted(maps.Keys(counts))
	for _, bound := range bounds {
		if seen += counts[bound]; seen >= rank {
			return bound
		}
	}
	return bounds[len(bounds)-1]
}
