package cache

import "unsafe"

// node is an entry, or a place for one.
type node[K comparable, V any] struct {
	key     K
	value   V
	cost    int64 // 0 for a place that is free
	expires int64 // by Cache.now
	// Neighbours in the order of use. The next of a free place is the next free one.
	prev, next uint32
}

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits

	// root is the place before the most and behind the least recently used entry. It
	// holds none, so its number can stand for none.
	root = 0
)

// slab is where the entries are: in chunks that never move, by number. Numbers in
// place of pointers halve the links, and leave the garbage collector nothing to
// follow. 2^32 entries are more than any memory has.
type slab[K comparable, V any] struct {
	chunks []*[chunkSize]node[K, V]
	used   uint32 // places that were ever taken, the root included
	free   uint32 // first free one of these, root if there is none
}

func (s *slab[K, V]) at(i uint32) *node[K, V] {
	return &s.chunks[i>>chunkBits][i&(chunkSize-1)]
}

// reset forgets all entries.
func (s *slab[K, V]) reset() {
	*s = slab[K, V]{chunks: []*[chunkSize]node[K, V]{new([chunkSize]node[K, V])}, used: 1}
}

// take returns a place that is free.
func (s *slab[K, V]) take() uint32 {
	if i := s.free; i != root {
		s.free = s.at(i).next
		return i
	}
	if int(s.used) == len(s.chunks)*chunkSize {
		s.chunks = append(s.chunks, new([chunkSize]node[K, V]))
	}
	s.used++
	return s.used - 1
}

// give makes a place free that is not linked any more. What was there is forgotten, or
// it would be kept alive.
func (s *slab[K, V]) give(i uint32) {
	*s.at(i) = node[K, V]{next: s.free}
	s.free = i
}

// link makes an entry the most recently used.
func (s *slab[K, V]) link(i uint32) {
	r, n := s.at(root), s.at(i)
	n.prev, n.next = root, r.next
	s.at(r.next).prev = i
	r.next = i
}

func (s *slab[K, V]) unlink(i uint32) {
	n := s.at(i)
	s.at(n.prev).next, s.at(n.next).prev = n.next, n.prev
}

// touch makes an entry that is linked the most recently used.
func (s *slab[K, V]) touch(i uint32) {
	if s.at(root).next == i {
		return
	}
	s.unlink(i)
	s.link(i)
}

// last is the entry that was used least recently, root if there is none.
func (s *slab[K, V]) last() uint32 { return s.at(root).prev }

// Overhead estimates the bytes of heap that an entry takes beside what its key and
// value point to: its place in the slab, and in the index. It is an estimate for many
// entries, as the index grows by leaps: from the size of its slots (each with a byte of
// hash beside it) at 60 % occupancy, between the 7/16 after a leap and the 7/8 before
// one. docs/cache.md has it measured.
func Overhead[K comparable, V any]() int64 {
	type slot struct {
		_ K
		_ uint32
	}
	return int64(unsafe.Sizeof(node[K, V]{})) + int64(unsafe.Sizeof(slot{})+1)*10/6
}
