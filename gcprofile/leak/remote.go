package leak

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StartRemote begins to watch a process that serves net/http/pprof: base is the address
// up to there, such as http://127.0.0.1:6060/debug/pprof. Each sample asks it for its
// stacks and, after a collection, its heap profile.
//
// Less is known of it than of the process that the detector is in. Its descriptors are
// not watched. Its profile rate is its own, 512 KiB if it did not set another, so sites
// of small allocations are named late. Its live heap is what is allocated right after a
// collection. Goroutines left behind are those of an origin that has more than at the
// start, by Options.Goroutines at least.
func StartRemote(base string, o Options) (*Detector, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("leak: %q is no address of net/http/pprof (want something like http://127.0.0.1:6060/debug/pprof)", base)
	}
	r := &remote{
		base: strings.TrimSuffix(base, "/"), client: &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: remoteTimeout},
		places: map[string]*site{}, least: o.Goroutines,
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	// Where the server's toolchain has no leak profile, it answers 404.
	if _, err := r.get("/goroutineleak?debug=1"); err == nil {
		r.profile = "goroutineleak"
	} else {
		r.profile = "goroutine"
	}
	all, err := r.goroutines()
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("leak: %s/goroutine has no stacks that are known (is it net/http/pprof?)", r.base)
	}
	if err != nil {
		r.release()
		return nil, err
	}
	r.first = groups(all)
	r.lost = map[uint64]bool{}
	for _, g := range all {
		if g.leaked {
			r.lost[g.id] = true
		}
	}
	return start(o, r)
}

const (
	remoteTimeout = 30 * time.Second // of an answer, for large heaps
	remoteMost    = 256 << 20        // bytes of one
)

// remote is a process that serves its profiles.
type remote struct {
	base    string
	profile string // of goroutines
	client  *http.Client
	ctx     context.Context
	cancel  context.CancelFunc

	first  map[string]goroutineGroup
	least  int // more goroutines of an origin
	lost   map[uint64]bool
	places map[string]*site // by where
	before map[*site]inUse  // at the first reading
}

func (r *remote) get(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("leak: %w", err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("leak: profile: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, remoteMost+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("leak: %s%s: %w", r.base, path, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("leak: %s%s: %s (is it net/http/pprof?)", r.base, path, resp.Status)
	case len(body) > remoteMost:
		return nil, fmt.Errorf("leak: %s%s: more than %d bytes (too many goroutines to watch)", r.base, path, remoteMost)
	}
	return body, nil
}

// goroutines are all but those that write the profile.
func (r *remote) goroutines() (others []goroutine, err error) {
	text, err := r.get("/" + r.profile + "?debug=2")
	if err != nil {
		return nil, err
	}
	for _, g := range parseDump(text) {
		writes := false
		for _, f := range g.stack {
			writes = writes || strings.HasPrefix(f.Func, "runtime/pprof.")
		}
		if !writes {
			g.leaked = g.leaked && !r.lost[g.id]
			others = append(others, g)
		}
	}
	return others, nil
}

func (r *remote) heap() (live float64, grown map[*site]inUse, err error) {
	text, err := r.get("/heap?gc=1&debug=1")
	if err != nil {
		return 0, nil, err
	}
	p, err := parseHeap(text)
	if err != nil {
		return 0, nil, fmt.Errorf("leak: %s/heap: %w", r.base, err)
	}
	now := map[*site]inUse{}
	for _, rec := range p.records {
		s := siteOf(rec.stack)
		if known, ok := r.places[s.where]; ok {
			s = known
		}
		r.places[s.where] = s
		u := now[s]
		now[s] = inUse{u.objects + rec.objects, u.bytes + rec.bytes}
	}
	if r.before == nil {
		r.before = now
	}
	return p.live, growth(r.before, now, p.rate), nil
}

func (r *remote) descriptors() ([]descriptor, error) {
	return nil, fmt.Errorf("leak: net/http/pprof does not serve them: %w", errors.ErrUnsupported)
}

func (r *remote) left(grace time.Duration) ([]goroutine, error) {
	for end := time.Now().Add(grace); ; time.Sleep(min(100*time.Millisecond, max(0, time.Until(end)))) {
		all, err := r.goroutines()
		if err != nil {
			return nil, err
		}
		var more []goroutine
		for name, g := range groups(all) {
			n := g.count - r.first[name].count
			if n < r.least {
				continue
			}
			var same []goroutine
			for _, one := range all {
				if one.origin() == name {
					same = append(same, one)
				}
			}
			// The latest have the highest numbers.
			slices.SortFunc(same, func(a, b goroutine) int { return cmp.Compare(a.id, b.id) })
			more = append(more, same[r.first[name].count:]...)
		}
		if len(more) == 0 || !time.Now().Before(end) {
			return more, nil
		}
	}
}

func (r *remote) method() []string {
	profile := "no goroutine leak profile in its toolchain"
	if r.profile == "goroutineleak" {
		profile = "its runtime's goroutine leak profile"
	}
	return []string{"stacks of " + r.base, profile, "its heap after collections, allocation sites at its own profile rate"}
}

func (r *remote) release() {
	r.cancel()
	r.client.CloseIdleConnections()
}

// heapText is a heap profile with debug=1.
type heapText struct {
	rate    int
	live    float64 // bytes
	records []heapRecord
}

type heapRecord struct {
	inUse
	stack []Frame
}

// parseHeap reads what runtime/pprof writes:
//
//	heap profile: 3: 4096 [9: 65536] @ heap/1048576
//	1: 2048 [2: 4096] @ 0x47b0 0x47c1
//	#	0x47af	main.keep+0x2f	/src/main.go:12
//
//	# HeapAlloc = 123456
//
// The rate in its first line is twice the true one.
func parseHeap(text []byte) (p heapText, err error) {
	first, live := true, false
	for line := range bytes.Lines(text) {
		s := strings.TrimSpace(string(line))
		switch {
		case first:
			first = false
			_, rate, ok := strings.Cut(s, "@ heap/")
			if p.rate, err = strconv.Atoi(rate); !ok || err != nil || p.rate < 0 || !strings.HasPrefix(s, "heap profile: ") {
				return p, fmt.Errorf("it begins with %.40q, not as a heap profile with debug=1 does", s)
			}
			p.rate /= 2
		case strings.HasPrefix(s, "# HeapAlloc = "):
			n, err := strconv.ParseUint(s[len("# HeapAlloc = "):], 10, 64)
			if err != nil {
				return p, fmt.Errorf("HeapAlloc: %w", err)
			}
			p.live, live = float64(n), true
		case strings.HasPrefix(s, "#"):
			if f, ok := parseHeapFrame(s); ok && len(p.records) > 0 {
				r := &p.records[len(p.records)-1]
				r.stack = append(r.stack, f)
			}
		default:
			var objects, size uint64
			if n, _ := fmt.Sscanf(s, "%d: %d [", &objects, &size); n == 2 {
				p.records = append(p.records, heapRecord{inUse: inUse{float64(objects), float64(size)}})
			}
		}
	}
	if !live {
		return p, errors.New("it has no line HeapAlloc (was it cut off?)")
	}
	return p, nil
}

// parseHeapFrame reads "#	0x47af	main.keep+0x2f	/src/main.go:12", where tabs may be
// followed by more.
func parseHeapFrame(s string) (f Frame, ok bool) {
	var fields []string
	for field := range strings.SplitSeq(s, "\t") {
		if field = strings.TrimSpace(field); field != "" {
			fields = append(fields, field)
		}
	}
	if len(fields) != 4 {
		return f, false
	}
	plus := strings.LastIndex(fields[2], "+0x")
	if plus < 0 {
		return f, false
	}
	f.Func = fields[2][:plus]
	f.File, f.Line = parsePlace(fields[3])
	return f, true
}
