package leak

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"
)

// watching tells whether a detector does. There can be one: what it looks at belongs
// to the whole process.
var watching atomic.Bool

// ErrWatching is returned by [Start] while another detector watches the process.
var ErrWatching = errors.New("leak: another detector watches this process (stop it first; tests that watch cannot be parallel)")

// self is the process that it is in.
type self struct {
	known  goleak.Option   // goroutines from before
	lost   map[uint64]bool // those of them that had leaked
	rate   int             // of the memory profile, before
	reader heapReader
}

// watchSelf sets the rate of the memory profile until release.
func watchSelf(o Options) (*self, error) {
	if !watching.CompareAndSwap(false, true) {
		return nil, ErrWatching
	}
	s := &self{
		known: goleak.IgnoreCurrent(), lost: map[uint64]bool{}, rate: runtime.MemProfileRate,
		reader: heapReader{rate: o.ProfileRate, sites: map[[32]uintptr]*site{}, places: map[string]*site{}},
	}
	all, err := s.goroutines()
	if err == nil && len(all) == 0 {
		err = errors.New("leak: the stacks of goroutines are in a form that is not known (this toolchain is too new or too old)")
	}
	if err != nil {
		watching.Store(false)
		return nil, err
	}
	for _, g := range all {
		if g.leaked {
			s.lost[g.id] = true
		}
	}
	runtime.MemProfileRate = o.ProfileRate
	return s, nil
}

func (s *self) release() {
	runtime.MemProfileRate = s.rate
	s.reader = heapReader{} // which may be large
	watching.Store(false)
}

func (s *self) method() []string {
	profile := "no goroutine leak profile in this toolchain (Go 1.26 builds it with GOEXPERIMENT=goroutineleakprofile)"
	if leakProfile() != nil {
		profile = "the runtime's goroutine leak profile"
	}
	return []string{
		"stacks of goroutines, goleak after the load", profile,
		fmt.Sprintf("live heap after collections, allocation sites at a profile rate of %d", s.reader.rate),
	}
}

func (s *self) heap() (live float64, grown map[*site]inUse, err error) {
	live, grown = s.reader.read()
	return live, grown, nil
}

func (s *self) descriptors() ([]descriptor, error) { return descriptors() }

// goroutines are all but the one of the detector.
func (s *self) goroutines() ([]goroutine, error) {
	text, err := dump()
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(parseDump(text), func(g goroutine) bool {
		return len(g.stack) > 0 && g.stack[len(g.stack)-1].Func == ownType+"run"
	})
	for i := range all {
		all[i].leaked = all[i].leaked && !s.lost[all[i].id]
	}
	return all, nil
}

// named finds the goroutines in goleak's text.
var named = regexp.MustCompile(`(?m)^[\[ ]?Goroutine (\d+) in state `)

// left asks goleak, which knows which goroutines belong to the runtime and to package
// testing, and waits for some 0.4 s for others to end.
func (s *self) left(grace time.Duration) ([]goroutine, error) {
	end := time.Now().Add(grace)
	found := goleak.Find(s.known)
	for found != nil && time.Now().Before(end) {
		found = goleak.Find(s.known)
	}
	if found == nil {
		return nil, nil
	}
	ids := map[uint64]bool{}
	for _, m := range named.FindAllStringSubmatch(found.Error(), -1) {
		if id, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			ids[id] = true
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("leak: goleak found goroutines, but its text has none that is known: %.200s", found)
	}
	all, err := s.goroutines()
	return slices.DeleteFunc(all, func(g goroutine) bool { return !ids[g.id] }), err
}
