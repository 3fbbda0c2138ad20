package strategies

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aclements/go-moremath/stats"

	"netbench/pools"
)

// A Report is what [Run] found.
type Report struct {
	Kind   string
	Size   int
	Repeat int // asked for
	Seed   uint64
	Rows   []Row // by situation, then by strategy
}

// A Row is one strategy in one situation.
type Row struct {
	Strategy  string
	Situation Situation
	Firsts    []First // as they were made

	Opening Spread // of the pool
	Took    Spread // from the request to its first success; lost ones as long as they were tried

	Failed      int     // requests that failed at least once
	Lost        int     // of these: requests that never succeeded
	Failures    float64 // tries that failed, by request; their mean
	Dials       float64 // connections opened by the request; mean, pools.Absent if not counted
	DialsBefore float64 // connections opened before it, in the situation
}

// A Spread is a median with its range. Lo and Hi bound the 95 % confidence interval
// of the median, by order statistics, which assume nothing of the distribution (the
// number of values below the median is binomial; Conover, Practical Nonparametric
// Statistics, 3.2). With fewer than six values there is none, and both are 0.
type Spread struct {
	Median, Min, Max time.Duration
	Lo, Hi           time.Duration
}

// spreadOf is that of some times, at least one.
func spreadOf(times []time.Duration) Spread {
	values := make([]float64, len(times))
	for i, t := range times {
		values[i] = float64(t)
	}
	slices.Sort(values)
	sample := stats.Sample{Xs: values, Sorted: true}
	s := Spread{Min: slices.Min(times), Max: slices.Max(times)}
	middle := len(values) / 2
	s.Median = time.Duration(values[middle])
	if len(values)%2 == 0 {
		s.Median = time.Duration((values[middle-1] + values[middle]) / 2)
	}
	_, lo, hi := stats.QuantileCI(len(values), 0.5, 0.95).SampleCI(sample)
	if !math.IsInf(lo, 0) && !math.IsInf(hi, 0) {
		s.Lo, s.Hi = time.Duration(lo), time.Duration(hi)
	}
	return s
}

func rowOf(strategy string, situation Situation, firsts []First) Row {
	r := Row{Strategy: strategy, Situation: situation, Firsts: firsts}
	var opening, took []time.Duration
	for _, f := range firsts {
		opening, took = append(opening, f.Opening), append(took, f.Took)
		r.Failures += float64(f.Failures) / float64(len(firsts))
		r.Dials += float64(f.Dials) / float64(len(firsts))
		r.DialsBefore += float64(f.DialsBefore) / float64(len(firsts))
		if f.Failures > 0 {
			r.Failed++
		}
		if f.Lost {
			r.Lost++
		}
	}
	r.Opening, r.Took = spreadOf(opening), spreadOf(took)
	if slices.ContainsFunc(firsts, func(f First) bool { return f.Dials == pools.Absent }) {
		r.Dials, r.DialsBefore = pools.Absent, pools.Absent
	}
	return r
}

// Markdown writes the report as a table.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| after | strategy | n | first request, median | 95 % interval | range | failed | failures/request | dials by it | dials before | opening the pool |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.Rows {
		interval := "-"
		if row.Took.Hi > 0 {
			interval = short(row.Took.Lo) + " to " + short(row.Took.Hi)
		}
		failed := fmt.Sprint(row.Failed)
		if row.Lost > 0 {
			failed += fmt.Sprintf(" (%d for good)", row.Lost)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s to %s | %s | %.1f | %s | %s | %s |\n",
			row.Situation, row.Strategy, len(row.Firsts), short(row.Took.Median), interval, short(row.Took.Min), short(row.Took.Max),
			failed, row.Failures, counted(row.Dials), counted(row.DialsBefore), short(row.Opening.Median))
	}
	var errs []string
	for _, row := range r.Rows {
		for _, f := range row.Firsts {
			if f.Err != nil {
				errs = append(errs, fmt.Sprintf("- %s, %s: %v\n", row.Situation, row.Strategy, f.Err))
				break
			}
		}
	}
	if len(errs) > 0 {
		b.WriteString("\nThe first failure of each:\n\n" + strings.Join(errs, ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func counted(n float64) string {
	if n == pools.Absent {
		return "-"
	}
	return fmt.Sprintf("%.1f", n)
}

// short is a time of three digits.
func short(d time.Duration) string {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}
