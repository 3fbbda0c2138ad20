package gcprofile

import (
	"fmt"
	"math/rand/v2"
)

// Objects is what a live set is made of.
type Objects string

const (
	// SmallObjects are records of 64 bytes in chains, each with a value of 32 bytes
	// of its own, as a map of sessions has them: many objects, a pointer for every
	// 32 bytes, neighbours in a chain far apart in memory.
	SmallObjects Objects = "small"

	// LargeObjects are blocks of 64 KiB, half of each pointers to other blocks and
	// half plain bytes, as an index over pages has them: few objects, many pointers.
	LargeObjects Objects = "large"
)

func parseObjects(text string) (Objects, error) {
	switch o := Objects(text); o {
	case SmallObjects, LargeObjects:
		return o, nil
	}
	return "", fmt.Errorf("objects is %q (want small or large)", text)
}

// MaxLive is the largest live set, bytes.
const MaxLive = 2 << 30

// live is a live set that requests look things up in.
type live interface {
	// at returns what is found for a key.
	at(key uint64) uint64
	// objects is how many there are.
	objects() int
}

// record is a small object; its size is that of a size class of the runtime, 64.
type record struct {
	next  *record
	value []byte
	key   uint64
	_     [3]uint64
}

const (
	recordBytes = 64
	valueBytes  = 32
	chainLength = 8 // records for each bucket
)

// records is a live set of small objects: buckets of chains. Records enter at random,
// so that the tracing of a chain jumps about in memory, as it does in a server that
// was filled by its requests.
type records struct {
	buckets []*record
	n       int
}

func newRecords(bytes int64) *records {
	n := int(float64(bytes) / (recordBytes + valueBytes + 8.0/chainLength))
	if n == 0 {
		return &records{}
	}
	r := &records{buckets: make([]*record, max(1, n/chainLength)), n: n}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for range n {
		key := random.Uint64()
		value := make([]byte, valueBytes)
		value[0] = byte(key)
		at := &r.buckets[key%uint64(len(r.buckets))]
		*at = &record{next: *at, value: value, key: key}
	}
	return r
}

func (r *records) objects() int { return 2 * r.n }

// at looks through one chain.
func (r *records) at(key uint64) (sum uint64) {
	if len(r.buckets) == 0 {
		return 0
	}
	for p := r.buckets[key%uint64(len(r.buckets))]; p != nil; p = p.next {
		sum += p.key ^ uint64(p.value[0])
	}
	return sum
}

// block is a large object.
type block struct {
	links [4096]*block
	data  [32 << 10]byte
}

const blockBytes = 64 << 10

// blocks is a live set of large objects.
type blocks struct{ all []*block }

func newBlocks(bytes int64) *blocks {
	b := &blocks{all: make([]*block, bytes/blockBytes)}
	random := rand.New(rand.NewPCG(2, uint64(len(b.all))))
	for i := range b.all {
		b.all[i] = new(block)
		b.all[i].data[0] = byte(i)
	}
	for _, from := range b.all {
		for i := range from.links {
			from.links[i] = b.all[random.IntN(len(b.all))]
		}
	}
	return b
}

func (b *blocks) objects() int { return len(b.all) }

// at follows a few links.
func (b *blocks) at(key uint64) (sum uint64) {
	if len(b.all) == 0 {
		return 0
	}
	p := b.all[key%uint64(len(b.all))]
	for range chainLength {
		sum += uint64(p.data[0])
		p = p.links[key%uint64(len(p.links))]
		key = key*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
	}
	return sum
}

func newLive(o Objects, bytes int64) live {
	if o == LargeObjects {
		return newBlocks(bytes)
	}
	return newRecords(bytes)
}
