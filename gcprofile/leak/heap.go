package leak

import (
	"math"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
)

// site is a place that allocates.
type site struct {
	where string
	stack []Frame
	own   bool // the detector itself
	opens bool // it makes the value behind a descriptor
}

// heapReader reads how much of the heap lives, and which sites allocated it.
type heapReader struct {
	rate    int
	records []runtime.MemProfileRecord
	sites   map[[32]uintptr]*site // by stack
	places  map[string]*site      // by where; the detector's own are one, without a name
	base    map[*site]inUse       // at the first reading
}

// inUse is what lives of the allocations of a site, as far as they were recorded.
type inUse struct{ objects, bytes float64 }

// liveBytes is the heap that the last collection found alive.
func liveBytes() float64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64())
}

// read collects garbage. Grown is by how many bytes the living allocations of each
// site changed since the first reading, as an estimate from the recorded ones.
func (h *heapReader) read() (live float64, grown map[*site]inUse) {
	// The profile counts what the last completed collection left, so it and the live
	// heap are of the same moment.
	runtime.GC()
	live = liveBytes()
	n := 0
	for ok := false; !ok; {
		if n, ok = runtime.MemProfile(h.records, false); !ok {
			h.records = make([]runtime.MemProfileRecord, n+n/4+64)
		}
	}
	now := map[*site]inUse{}
	for i := range h.records[:n] {
		r := &h.records[i]
		s := h.site(r)
		if s.own {
			continue
		}
		u := now[s]
		u.objects += float64(r.InUseObjects())
		u.bytes += float64(r.InUseBytes())
		now[s] = u
	}
	if h.base == nil {
		h.base = now
	}
	return live, growth(h.base, now, h.rate)
}

// growth is by how much more each site has now than before.
func growth(before, now map[*site]inUse, rate int) map[*site]inUse {
	grown := map[*site]inUse{}
	for s, u := range now {
		b := before[s]
		scale := unsampled(u, rate)
		grown[s] = inUse{(u.objects - b.objects) * scale, (u.bytes - b.bytes) * scale}
	}
	for s, b := range before {
		if _, ok := now[s]; !ok {
			grown[s] = inUse{-b.objects, -b.bytes}
		}
	}
	return grown
}

// unsampled is by what to multiply records to estimate all allocations: one of s bytes
// is recorded with probability 1-exp(-s/rate), see [runtime.MemProfileRate].
func unsampled(u inUse, rate int) float64 {
	if rate <= 1 || u.objects == 0 {
		return 1
	}
	return -1 / math.Expm1(-u.bytes/u.objects/float64(rate))
}

// site finds out where a record was allocated.
func (h *heapReader) site(r *runtime.MemProfileRecord) *site {
	if s, ok := h.sites[r.Stack0]; ok {
		return s
	}
	var stack []Frame
	frames := runtime.CallersFrames(r.Stack())
	for {
		f, more := frames.Next()
		if f.Function != "" {
			stack = append(stack, Frame{f.Function, f.File, f.Line})
		}
		if !more {
			break
		}
	}
	made := siteOf(stack)
	// Several stacks may lead to one place: they are one site.
	key := made.where
	if made.own {
		key = ""
	}
	if s, ok := h.places[key]; ok {
		made = s
	}
	h.places[key], h.sites[r.Stack0] = made, made
	return made
}

// siteOf names a site by the first function on its stack that is not of the standard
// library, and by what that one called.
func siteOf(stack []Frame) *site {
	s := &site{stack: stack, where: "unknown"}
	// How memory is allocated says nothing, unless the runtime itself wants it.
	if i := slices.IndexFunc(stack, func(f Frame) bool { return !strings.HasPrefix(f.Func, "runtime.") }); i >= 0 {
		stack = stack[i:]
	} else if i := slices.IndexFunc(stack, func(f Frame) bool { return !allocator.MatchString(f.Func) }); i >= 0 {
		stack = stack[i:]
	}
	for _, f := range stack {
		s.own = s.own || strings.HasPrefix(f.Func, ownType)
		switch f.Func {
		case "os.newFile", "net.newFD", "os.NewFile":
			s.opens = true
		}
	}
	if len(stack) == 0 {
		return s
	}
	s.stack = stack
	s.where = stack[0].String()
	for i, f := range stack {
		if !standard(f) {
			s.where = f.String()
			if i > 0 {
				s.where += " by " + stack[i-1].Func
				if i > 1 {
					s.where += " and " + stack[0].Func
				}
			}
			break
		}
	}
	return s
}

// allocator matches the functions of the runtime that any allocation goes through.
var allocator = regexp.MustCompile(`^runtime\.(malloc|new(object|array)$|makeslice|growslice|systemstack|persistentalloc)`)

// ownType begins the names of all that the detector does while it samples.
var ownType = func() string {
	pc, _, _, _ := runtime.Caller(0)
	name := runtime.FuncForPC(pc).Name()
	return name[:strings.LastIndexByte(name, '/')+1] + "leak.(*Detector)."
}()

// standardRoot is the directory of the standard library's sources, empty in programs
// built with -trimpath; modules are those that the program was built of, its own first.
var standardRoot, modules = sync.OnceValues(func() (root string, modules []string) {
	if f := runtime.FuncForPC(reflect.ValueOf(debug.Stack).Pointer()); f != nil {
		file, _ := f.FileLine(f.Entry())
		root = strings.TrimSuffix(file, "runtime/debug/stack.go")
		if root == file {
			root = ""
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		modules = append(modules, info.Main.Path)
		for _, m := range info.Deps {
			modules = append(modules, m.Path)
		}
	}
	return root, modules
})()

// standard tells whether a frame is of the standard library. Where its file does not
// tell, its package does: the first element of its path has no dot, and it is of none of
// the program's modules, whose names need not have one either.
func standard(f Frame) bool {
	if standardRoot != "" && f.File != "" {
		return strings.HasPrefix(f.File, standardRoot)
	}
	if strings.Contains(f.File, "@") { // as in lib@v1.2.3/cache.go; a test's program does not know its modules
		return false
	}
	for _, m := range modules {
		if rest, ok := strings.CutPrefix(f.Func, m); ok && m != "" && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ".")) {
			return false
		}
	}
	if first, _, nested := strings.Cut(f.Func, "/"); nested {
		return !strings.Contains(first, ".")
	}
	return !strings.HasPrefix(f.Func, "main.")
}
