// Package sizing finds how large a connection pool has to be.
//
// A pool that is too small makes callers wait for a connection while the server
// idles; one that is too large has the server switch between connections that
// all want the same cores. In between, throughput is flat: there the smallest
// size is the best one, as every connection costs memory at both ends. That
// smallest size is called the knee here.
//
// [Sweep] measures the curve. At each concurrency, which is a number of callers
// in a closed loop, a round tries each size once, in an order that is shuffled
// anew for each round, by a seed that the report tells; so the drift of the
// machine meets all sizes alike, and rounds can be compared pairwise. A slice
// begins with a pool that was opened, warmed and driven for a moment before; it
// is the only pool that is open meanwhile, so that neither the connections of
// the others burden the server, nor their sum has to be permitted.
//
// # How a size is judged
//
// The best size is the one with the highest geometric mean of throughput over
// the rounds. Each size is compared with it, and its p99 with the p99 of every
// larger size, in pairs by round: d = ln(a/b), one value for each round, mean d
// and Student's interval mean ± t·sd/√n, given as exp(d). (Student 1908; on
// logarithms since a ratio and its inverse then differ by the sign alone.)
//
// Throughput fits if the mean ratio is at least 1 - [Margin], that is within 3 %
// of the best, and the 95 % interval rules out a loss of twice that. It does not
// if the mean is below that and the interval rules out that both are equal. In
// any other case the interval is too wide: so a size that costs more than 6 % is
// taken with a probability of at most 2.5 %, and so is one refused that costs
// nothing.
//
// The p99 is worse than that of a larger size if the whole interval of their
// ratio lies above 1, that is if the scatter over the rounds does not explain
// it, and the mean is above 1 + Margin, as less is no reason for more
// connections. It is not worse if otherwise the mean is at most 1 + [P99Margin], and
// the interval ends below [P99Wide]. Else the interval is too wide. As a size has several larger ones, of which any
// may look better by chance, these intervals have a confidence of 1 - 0.05/k for
// k comparisons (Bonferroni's inequality; Dunn 1961).
//
// The knee is the smallest size that fits in both. If a smaller one could not be
// judged the knee is not known, and the report says that instead of guessing;
// more rounds or longer slices help.
//
// # The rule
//
// The report says beside it what "cores x 2 + disks" gives, a starting point from
// the PostgreSQL wiki ("Number Of Database Connections": connections =
// ((core_count * 2) + effective_spindle_count)), where the cores are those of the
// server's machine, and a disk counts only as far as the data is not cached.
package sizing
