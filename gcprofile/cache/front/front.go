// Package front is a service with a cache before a slow source: what caches are for,
// and where a hit ratio becomes a latency.
//
// The source takes its time, and it does only so many things at once, as a database
// does. So a miss costs twice: its own wait, and the wait of the misses behind it. A
// cache that hits a little more often can make the p99 a great deal better when the
// source is nearly busy, and not at all when it is idle.
//
// Two misses of the same page at the same time are two questions to the source. A
// service may want to join them (golang.org/x/sync/singleflight); it would make the
// caches look more alike here.
package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"netbench/gcprofile/cache/traces"
)

// Store is a cache of pages. It is safe for concurrent use. Pages are not changed once
// they are made.
type Store interface {
	Get(key uint64) (page []byte, ok bool)
	Set(key uint64, page []byte)
}

// Config is what a service can be told.
type Config struct {
	Store Store            // required
	Sizes traces.Sizes     // of pages
	Trace []traces.Request // what /next goes through, again and again; at least one

	Delay  time.Duration // that the source takes for a page, at least 0
	AtOnce int           // pages that it makes at once, at least 1
}

// Stats is what a service has done.
type Stats struct {
	Hits   uint64 `json:"hits"`
	Misses uint64 `json:"misses"` // pages asked of the source
	Gone   uint64 `json:"gone"`   // of these, not waited for by the client
}

// HitRatio is the share of hits since an earlier state, 0 to 1; 0 if nothing was asked.
func (s Stats) HitRatio(earlier Stats) float64 {
	hits, misses := s.Hits-earlier.Hits, s.Misses-earlier.Misses
	return float64(hits) / float64(max(hits+misses, 1))
}

// Front is the service, a handler of HTTP:
//
//	GET /page/KEY  the page of a key, a number
//	GET /next      the page that comes next in the trace
//
// A generator that asks the same each time so makes a trace all the same: whichever of
// its connections asks next gets what is next. X-Cache says "hit" or "miss".
type Front struct {
	config Config
	mux    *http.ServeMux
	busy   chan struct{} // holds a token for each page that the source is making

	next               atomic.Uint64
	hits, misses, gone atomic.Uint64
}

// New makes a service. The error names the field that is bad.
func New(config Config) (*Front, error) {
	switch {
	case config.Store == nil:
		return nil, errors.New("front: Config.Store is nil (want a cache)")
	case len(config.Trace) == 0:
		return nil, errors.New("front: Config.Trace is empty (want at least one request)")
	case config.Sizes != traces.Fixed && config.Sizes != traces.Varying:
		return nil, fmt.Errorf("front: Config.Sizes is %q (want %q or %q)", config.Sizes, traces.Fixed, traces.Varying)
	case config.Delay < 0:
		return nil, fmt.Errorf("front: Config.Delay is %v (want at least 0)", config.Delay)
	case config.AtOnce < 1:
		return nil, fmt.Errorf("front: Config.AtOnce is %d (want at least 1)", config.AtOnce)
	}
	f := &Front{config: config, mux: http.NewServeMux(), busy: make(chan struct{}, config.AtOnce)}
	f.mux.HandleFunc("GET /page/{key}", func(w http.ResponseWriter, r *http.Request) {
		key, err := strconv.ParseUint(r.PathValue("key"), 10, 64)
		if err != nil {
			http.Error(w, "a key is a number", http.StatusNotFound)
			return
		}
		f.answer(w, r, key)
	})
	f.mux.HandleFunc("GET /next", func(w http.ResponseWriter, r *http.Request) {
		i := (f.next.Add(1) - 1) % uint64(len(config.Trace))
		f.answer(w, r, config.Trace[i].Key)
	})
	return f, nil
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Stats may be called at any time.
func (f *Front) Stats() Stats { return Stats{f.hits.Load(), f.misses.Load(), f.gone.Load()} }

// Warm asks for the next n pages of the trace as /next does, but has the source make
// them at once. It is no part of Stats.
func (f *Front) Warm(n int) {
	for range n {
		i := (f.next.Add(1) - 1) % uint64(len(f.config.Trace))
		key := f.config.Trace[i].Key
		if _, ok := f.config.Store.Get(key); !ok {
			f.config.Store.Set(key, Page(key, f.config.Sizes))
		}
	}
}

func (f *Front) answer(w http.ResponseWriter, r *http.Request, key uint64) {
	page, ok := f.config.Store.Get(key)
	found := "hit"
	if ok {
		f.hits.Add(1)
	} else {
		found = "miss"
		f.misses.Add(1)
		var err error
		if page, err = f.source(r.Context(), key); err != nil {
			f.gone.Add(1)
			return // nobody is there to be told
		}
		f.config.Store.Set(key, page)
	}
	h := w.Header()
	h["X-Cache"] = []string{found}
	h["Content-Type"] = []string{"application/octet-stream"}
	h["Content-Length"] = []string{strconv.Itoa(len(page))}
	_, _ = w.Write(page) // an error is the client's end
}

// source makes a page. The error is that of ctx.
func (f *Front) source(ctx context.Context, key uint64) ([]byte, error) {
	select {
	case f.busy <- struct{}{}:
		defer func() { <-f.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.config.Delay > 0 {
		timer := time.NewTimer(f.config.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return Page(key, f.config.Sizes), nil
}

// Page is the page of a key: its size by sizes, byte i being the lowest of key + i.
func Page(key uint64, sizes traces.Sizes) []byte {
	page := make([]byte, sizes.Of(key))
	for i := range page {
		page[i] = byte(key + uint64(i))
	}
	return page
}
