package habits

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"sync"
)

// A Record is what is summarized.
type Record struct {
	ID     uint64
	Region uint8
	Amount int64 // cents
	Note   []byte
}

const regions = 8

// Records makes n records, always the same, whose notes are of 100 to 227 bytes. Each
// is new: whoever keeps it keeps its memory.
func Records(n int) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i := range uint64(n) {
			x := (i + 1) * 0x9E3779B97F4A7C15
			r := Record{ID: i, Region: uint8(x >> 61), Amount: int64(x >> 40 % 100_000), Note: make([]byte, 100+x>>50%128)}
			for j := range r.Note {
				r.Note[j] = byte(x >> (j % 56))
			}
			if !yield(r) {
				return
			}
		}
	}
}

// A Summary is what records come to. It does not depend on their order, so that those
// of parts can be added.
type Summary struct {
	Records   int64
	NoteBytes int64
	Amount    [regions]int64 // by region
	Digest    uint64         // sum of the digests of all records, modulo 2^64
}

// Add adds the summary of other records.
func (s *Summary) Add(o Summary) {
	s.Records += o.Records
	s.NoteBytes += o.NoteBytes
	for i := range s.Amount {
		s.Amount[i] += o.Amount[i]
	}
	s.Digest += o.Digest
}

// prepared is a record with what is computed of it, as pipelines make it.
type prepared struct {
	Record
	digest uint64
}

func prepare(r Record) prepared {
	h := fnv.New64a()
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], r.ID)
	head[8] = r.Region
	binary.LittleEndian.PutUint64(head[9:], uint64(r.Amount))
	_, _ = h.Write(head[:])
	_, _ = h.Write(r.Note)
	return prepared{r, h.Sum64()}
}

func (s *Summary) count(p prepared) {
	s.Records++
	s.NoteBytes += int64(len(p.Note))
	s.Amount[p.Region%regions] += p.Amount
	s.Digest += p.digest
}

// Whole reads all records, prepares them all, and summarizes them: all of them are in
// memory at once, twice in part.
func Whole(records iter.Seq[Record]) Summary {
	var all []Record
	for r := range records {
		all = append(all, r)
	}
	var ready []prepared
	for _, r := range all {
		ready = append(ready, prepare(r))
	}
	var s Summary
	for _, p := range ready {
		s.count(p)
	}
	return s
}

// Chunking says how records are divided. The zero value is chunks of 1000 and 4
// workers.
type Chunking struct {
	Size    int // records of a chunk; default 1000
	Workers int // goroutines; default 4

	// Work summarizes a chunk, whose records it must not keep. Workers calls at
	// most run at once. Default [Summarize].
	Work func(chunk []Record) (Summary, error)
}

// Summarize is what is done with a chunk.
func Summarize(chunk []Record) (s Summary, err error) {
	for _, r := range chunk {
		s.count(prepare(r))
	}
	return s, nil
}

// Chunked summarizes records chunk by chunk. Exactly Workers goroutines work, and
// Workers + 1 chunks exist, which are used again and again: while all of them are full,
// no record is read. The first error of Work ends it, as does the end of ctx; all
// goroutines have ended when it returns.
func Chunked(ctx context.Context, records iter.Seq[Record], c Chunking) (Summary, error) {
	if c.Size == 0 {
		c.Size = 1000
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
	if c.Work == nil {
		c.Work = Summarize
	}
	if c.Size < 1 || c.Workers < 1 {
		return Summary{}, fmt.Errorf("summarize in chunks of %d by %d workers: at least 1 of each is needed", c.Size, c.Workers)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	free, full := make(chan []Record, c.Workers+1), make(chan []Record)
	for range c.Workers + 1 {
		free <- make([]Record, 0, c.Size)
	}
	sums := make([]Summary, c.Workers)
	var workers sync.WaitGroup
	for i := range c.Workers {
		workers.Go(func() {
			for chunk := range full {
				if ctx.Err() != nil {
					continue // nobody asks for the sum any more
				}
				s, err := c.Work(chunk)
				if err != nil {
					cancel(err)
					continue
				}
				sums[i].Add(s)
				clear(chunk) // or the notes would live until the chunk is full again
				free <- chunk[:0]
			}
		})
	}
	feed(ctx, records, c.Size, free, full)
	close(full)
	workers.Wait()
	if ctx.Err() != nil {
		return Summary{}, context.Cause(ctx)
	}
	var all Summary
	for _, s := range sums {
		all.Add(s)
	}
	return all, nil
}

// feed fills chunks that are free and passes them on, the last one though it be not
// full, until there are no more records or ctx ends.
func feed(ctx context.Context, records iter.Seq[Record], size int, free <-chan []Record, full chan<- []Record) {
	take := func() []Record {
		select {
		case chunk := <-free:
			return chunk
		case <-ctx.Done():
			return nil
		}
	}
	chunk := take()
	for r := range records {
		if chunk == nil || ctx.Err() != nil {
			return
		}
		if chunk = append(chunk, r); len(chunk) == size {
			full <- chunk
			chunk = take()
		}
	}
	if len(chunk) > 0 && ctx.Err() == nil {
		full <- chunk
	}
}
