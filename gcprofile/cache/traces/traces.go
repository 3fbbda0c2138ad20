// Package traces makes sequences of requests whose statistics are known, to hold
// caches against.
//
// A hit ratio belongs to a cache and a trace together, so a trace is a value that can
// be made again: the same parameters and seed give the same requests. Each has a key
// and the size of what is behind it, which is always the same for a key.
//
//   - Zipf: independent requests, the key of rank i with probability in proportion to
//     1/i^s (Breslau et al., Web Caching and Zipf-like Distributions, 1999, found s of
//     0.64 to 0.83 in proxies). Nothing but popularity tells what comes next.
//   - Scan: all keys in order, again and again. More of them than fit, and LRU hits
//     never: each leaves just before its turn.
//   - Mixed: Zipf, and from time to time a scan over keys that never come again, as a
//     backup or a crawler makes.
//   - Drift: Zipf whose popular keys become others with time, as news do. The past
//     tells less here the older it is.
package traces

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Request is one of a trace.
type Request struct {
	Key  uint64
	Size int // bytes, 1 to MaxSize
}

// Sizes is how large what is behind a key is.
type Sizes string

const (
	Fixed   Sizes = "fixed"   // 1 KiB each
	Varying Sizes = "varying" // log-normal around 600 bytes, 64 bytes to 16 KiB, 1 KiB on average
)

// FixedSize is the size of Fixed, and MaxSize the largest of Varying, in bytes.
const (
	FixedSize = 1 << 10
	MaxSize   = 16 << 10
)

// Of is the size of a key. It is drawn by a hash of it.
func (s Sizes) Of(key uint64) int {
	if s == Fixed {
		return FixedSize
	}
	// Box and Muller's way from two uniform numbers to a normal one. The mean of the
	// log-normal is 600 e^(1/2) = 989.
	h := mix(key)
	u1, u2 := float64(h>>32+1)/(1<<32+1), float64(h&(1<<32-1))/(1<<32)
	normal := math.Sqrt(-2*math.Log(u1)) * math.Cos(2*math.Pi*u2)
	return int(max(64, min(MaxSize, 600*math.Exp(normal))))
}

// mix is the finalizer of MurmurHash3 (Appleby), a bijection.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Names are the traces that [Make] knows.
func Names() []string { return []string{"zipf", "scan", "mixed", "drift"} }

// Spec says which trace to make.
type Spec struct {
	Name  string // one of Names
	Sizes Sizes
	Keys  int    // number of different keys, at least 1; mixed has the scans' besides
	N     int    // number of requests, at least 0
	Seed  uint64 // of the requests; sizes belong to the keys
}

// Parameters of the traces.
const (
	Exponent  = 0.9 // s of Zipf
	scanEvery = 10_000
	scanKeys  = 2_500 // hence a fifth of the requests of mixed are of scans
	driftBy   = 20    // requests after which the ranks of drift move by one key
)

// Make makes a trace.
func Make(s Spec) ([]Request, error) {
	switch {
	case s.Keys < 1 || s.N < 0:
		return nil, fmt.Errorf("a trace of %d requests to %d keys: at least 0, and 1, are needed", s.N, s.Keys)
	case s.Sizes != Fixed && s.Sizes != Varying:
		return nil, fmt.Errorf("unknown sizes %q (want %q or %q)", s.Sizes, Fixed, Varying)
	case !slices.Contains(Names(), s.Name):
		return nil, fmt.Errorf("unknown trace %q (want one of %q)", s.Name, Names())
	}
	r := rand.New(rand.NewPCG(s.Seed, 0x7ace))
	zipf := newZipf(s.Keys)
	once := uint64(s.Keys) // the next key of a scan
	trace := make([]Request, s.N)
	for i := range trace {
		var key uint64
		switch s.Name {
		case "scan":
			key = uint64(i % s.Keys)
		case "zipf":
			key = zipf.draw(r)
		case "mixed":
			if i%(scanEvery+scanKeys) < scanEvery {
				key = zipf.draw(r)
			} else {
				key = once
				once++
			}
		case "drift":
			key = (zipf.draw(r) + uint64(i/driftBy)) % uint64(s.Keys)
		}
		// Neighbours in rank are none as keys, lest the order of numbers helps anyone.
		key = mix(key + 1)
		trace[i] = Request{key, s.Sizes.Of(key)}
	}
	return trace, nil
}

// zipf draws ranks by the sums of their probabilities: slow, and right for every
// exponent.
type zipf struct{ sums []float64 }

func newZipf(keys int) zipf {
	sums := make([]float64, keys)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -Exponent)
		sums[i] = sum
	}
	return zipf{sums}
}

// draw returns a rank from 0 on.
func (z zipf) draw(r *rand.Rand) uint64 {
	at := r.Float64() * z.sums[len(z.sums)-1]
	return uint64(min(sort.SearchFloat64s(z.sums, at), len(z.sums)-1))
}
