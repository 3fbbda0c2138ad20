// Package cache is a cache that is bounded in bytes: what was used least recently
// leaves first, and nothing is returned after its time.
//
// A server without a bound on what it remembers has a leak with a good reason. Three
// questions decide whether a bound is one:
//
//   - What is counted? Bytes, by a cost that the user states ([Config.Cost]), not
//     entries: a bound of 10,000 entries is 10 MiB of pages or 10 GiB of films. The
//     sum is kept by adding and subtracting, and stays exact when a key is written
//     again, deleted, evicted or expires, whoever races whom. What an entry costs
//     beside its own bytes, [Overhead] estimates: a cost that leaves it out bounds the
//     content, not the memory.
//   - When does an entry leave? At once when room is needed, in constant time, from
//     the end of a list in the order of use. When its time is over, it is not returned
//     any more from that instant on; its memory is given back when it is asked for,
//     needed, or swept.
//   - What does the collector see? Entries lie in chunks and refer to each other by
//     number, not by pointer, and so does the index. Keys and values without pointers
//     make a cache that the collector does not look into at all, however many entries
//     it has; with pointers it looks for the user's and no others. An entry that is
//     evicted leaves its place to the next one, so a full cache allocates nothing.
//
// # What LRU is good for
//
// The order of use is one list under one mutex, hence exact: the hit ratio is that of
// the textbook's LRU on every trace. Exactness has a price that package-level
// measurements show (docs/cache.md): every read is a write to the list, so more CPUs
// do not read faster, and a scan over more than fits flushes everything (a policy with
// admission, such as otter's W-TinyLFU, resists). It is right where recency predicts
// use, where a small footprint and few allocations count, and where behaviour has to
// be foreseen.
//
// Subpackages: traces makes requests of known statistics, front is an HTTP service
// with a cache before a slow source, which package load can drive.
package cache
