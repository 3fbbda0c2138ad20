package gcprofile

import (
	"fmt"
	"strconv"
	"sync"

	"netbench/models"
)

// ServiceName is the name of [Heap] as users type it, with options after it:
// heap+live=256MiB+objects=small+alloc=64KiB.
const ServiceName = "heap"

// Use makes [models.ParseService] know the service. Call it first in main or
// TestMain, before testenv.Main.
func Use() {
	models.RegisterService(ServiceName, func() models.Configurable { return NewHeap(0, SmallObjects, AllocNone) })
}

// Heap is a service with a heap: HTTP/1.1, and at /json an answer that takes a look at
// the live set and allocates by habit. Its other routes are those of [models.HTTP].
//
// The live set is made by Prepare, once for each process: a model of several processes
// has one in each. The service keeps it reachable, and the server keeps the service.
type Heap struct {
	bytes   int64
	objects Objects
	alloc   Alloc
	held    *held
}

// held is what all copies of a Heap share.
type held struct {
	once sync.Once
	live live
	err  error
}

// NewHeap returns the service with a live set of so many bytes. Nothing is allocated
// before Prepare. Check tells whether the values are good.
func NewHeap(bytes int64, o Objects, a Alloc) Heap {
	return Heap{bytes: bytes, objects: o, alloc: a, held: new(held)}
}

// Name has all options, so that results tell them apart.
func (h Heap) Name() string {
	return fmt.Sprintf("%s+live=%s+objects=%s+alloc=%s", ServiceName, FormatSize(h.bytes), h.objects, h.alloc)
}

// With sets live, objects or alloc.
func (h Heap) With(key, value string) (models.Service, error) {
	var err error
	switch key {
	case "live":
		if h.bytes, err = ParseSize(value); err == nil && h.bytes > MaxLive {
			err = fmt.Errorf("live is %s (want at most %s)", value, FormatSize(MaxLive))
		}
	case "objects":
		h.objects, err = parseObjects(value)
	case "alloc":
		h.alloc = Alloc(value)
		err = h.alloc.Check()
	default:
		err = fmt.Errorf("option %q is unknown here (want live, objects, alloc, spin or wait)", key)
	}
	h.held = new(held)
	return h, err
}

// Limits are those of HTTP.
func (h Heap) Limits() models.Limits { return models.HTTP{App: h.app()}.Limits() }

// Open is a connection.
func (h Heap) Open() models.Session { return models.HTTP{App: h.app()}.Open() }

// Prepare makes the live set. The error says so if there is not memory enough for it;
// nothing was allocated then.
func (h Heap) Prepare() error {
	h.held.once.Do(func() {
		if h.held.err = ThisHost().fits(h.bytes); h.held.err == nil {
			h.held.live = newLive(h.objects, h.bytes)
		}
	})
	return h.held.err
}

// maxReply is more than the longest answer of a handler below.
const maxReply = 256

func (h Heap) app() *models.HTTPApp {
	if own, ok := h.alloc.habit(); ok {
		app := models.HTTPApp(own)
		return &app
	}
	return &models.HTTPApp{Open: h.handler, Reply: maxReply}
}

// handler answers one connection. Keys follow from the number of the request, so the
// answer depends on nothing else.
func (h Heap) handler() models.HTTPHandler {
	size, _ := h.alloc.size() // With has checked it
	small := h.alloc == AllocSmall
	var dropped garbage
	key := uint64(88172645463325252)
	return func(body, out []byte) []byte {
		key ^= key << 13 // Marsaglia's xorshift
		key ^= key >> 7
		key ^= key << 17
		objects, found := 0, uint64(0)
		if l := h.held.live; l != nil {
			objects, found = l.objects(), l.at(key)
		}
		sum := dropped.make(size, small, key)
		out = append(out, `{"key":`...)
		out = strconv.AppendUint(out, key, 10)
		out = append(out, `,"found":`...)
		out = strconv.AppendUint(out, found, 10)
		out = append(out, `,"objects":`...)
		out = strconv.AppendInt(out, int64(objects), 10)
		out = append(out, `,"sum":`...)
		out = strconv.AppendUint(out, sum, 10)
		out = append(out, `,"body":`...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		return append(out, '}')
	}
}
