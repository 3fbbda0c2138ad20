// Package beforeafter measures what is to be gained by caring about allocations:
// one service, written twice, under the same load.
//
// The service takes orders. A request is an order in JSON of some twenty items; the
// service looks each of them up among its products, which are its live set of a
// hundred MiB and more, computes prices, answers in JSON, and writes a line to its
// log. [Naive] is written as such services are written when nobody has measured
// them: the body is read whole, decoded into map[string]any, text is concatenated
// and formatted with fmt, replies are marshalled into fresh buffers, products are
// structs full of strings and pointers, and the collector is as it comes. [Tuned]
// does the same job with buffers from a pool, a decoder that fills structs which are
// used again, an encoder that appends, products in memory without pointers, and a
// collector that was set on purpose. Tests prove that both answer, and log, the same
// bytes to the same requests; a fuzz test looks for an exception.
//
// [Measure] drives both by an open loop at one absolute rate, a share of what the
// naive one can do. A collection of a large heap takes longer than the slices in
// which servers are otherwise compared, so the two are never alive together: a round
// is a block of each, in random order and in a fresh process, and each block gives
// one number for each metric. Metrics of the collector are taken over whole cycles:
// a block begins behind a collection that was asked for, and what the runtime counts
// at the ends of cycles (CPU time, collections) is divided by the time until the last
// of them. So a block has to be several cycles long. Each block's pauses are summed
// by the runtime itself, and their percentiles come from all blocks together.
package beforeafter
