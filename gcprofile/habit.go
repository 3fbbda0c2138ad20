package gcprofile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"netbench/models"
)

// Alloc is what a server allocates for each request, and drops when it has answered:
// "none", a size such as "1KiB" or "64KiB" for one buffer, "small" for a hundred
// little objects, or the name of a habit that was registered.
type Alloc string

const (
	AllocNone  Alloc = "none"
	AllocSmall Alloc = "small"
)

// smallObjects is how many records "small" allocates, each with its value: two
// objects and 96 bytes.
const smallObjects = 100

// MaxAlloc is the largest buffer for a request, bytes.
const MaxAlloc = 16 << 20

// Habit is application code with allocations of its own, to be compared with other
// code. Open is called for each connection; see [models.HTTPApp].
type Habit models.HTTPApp

var habits struct {
	sync.Mutex
	known map[string]Habit
}

// RegisterHabit makes a name mean a habit, in +alloc=NAME of the service and in
// [Spec]. Call it first in main or TestMain. Its name is made of letters, digits and
// dashes, begins with a letter, and is not one of the habits here; else it panics.
func RegisterHabit(name string, h Habit) {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-'
	}
	if name == "" || !(name[0] >= 'a' && name[0] <= 'z') || strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) >= 0 ||
		name == string(AllocNone) || name == string(AllocSmall) {
		panic(fmt.Sprintf("gcprofile.RegisterHabit: the name %q cannot be given (want a word that is not taken)", name))
	}
	habits.Lock()
	defer habits.Unlock()
	if habits.known == nil {
		habits.known = map[string]Habit{}
	}
	habits.known[name] = h
}

func (a Alloc) habit() (Habit, bool) {
	habits.Lock()
	defer habits.Unlock()
	h, ok := habits.known[string(a)]
	return h, ok
}

// Check returns an error for what is no habit.
func (a Alloc) Check() error {
	_, err := a.size()
	return err
}

// size is the buffer for a request in bytes, 0 where it is none.
func (a Alloc) size() (int, error) {
	if _, known := a.habit(); known || a == AllocNone || a == AllocSmall {
		return 0, nil
	}
	n, err := ParseSize(string(a))
	if err != nil || n < 1 || n > MaxAlloc {
		habits.Lock()
		more := slices.Sorted(maps.Keys(habits.known))
		habits.Unlock()
		return 0, fmt.Errorf("alloc is %q (want %s)", string(a),
			strings.Join(append([]string{"none, small, a size from 1B to 16MiB"}, more...), ", "))
	}
	return int(n), nil
}

// garbage is what one request of a connection holds while it is answered. That it is
// reached from the connection is what makes every allocation a real one: the compiler
// cannot keep it on the stack.
type garbage struct {
	buffer  []byte
	records *record
}

// make allocates, writes to all of it, and returns a sum over it.
func (g *garbage) make(size int, small bool, seed uint64) (sum uint64) {
	switch {
	case small:
		for i := range smallObjects {
			value := make([]byte, valueBytes)
			value[0] = byte(seed) + byte(i)
			g.records = &record{next: g.records, value: value, key: seed}
		}
		for p := g.records; p != nil; p = p.next {
			sum += p.key + uint64(p.value[0])
		}
	case size > 0:
		g.buffer = make([]byte, size)
		for i := 0; i < size; i += cacheLine {
			g.buffer[i] = byte(seed) + byte(i/cacheLine)
		}
		for i := 0; i < size; i += cacheLine {
			sum += uint64(g.buffer[i])
		}
	}
	g.buffer, g.records = nil, nil
	return sum
}

const cacheLine = 64
