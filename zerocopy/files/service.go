package files

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// temporaryPrefix begins the names of uploads that are not whole. As it begins with
// a dot, CheckName keeps clients from them.
const temporaryPrefix = ".netbench-upload-"

// Service is a file service: an [http.Handler]. Serve it with [NewServer], or with a
// server of your own that sets ReadHeaderTimeout and IdleTimeout, and neither
// ReadTimeout nor WriteTimeout.
type Service struct {
	config  Config
	root    *os.Root
	dir     *os.File // the same directory, locked
	origins *http.CrossOriginProtection

	blocks  sync.Pool // *[]byte of config.Buffer
	readers sync.Pool // *bufio.Reader of readAhead

	counts counts

	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup // exchanges under way
}

// counts are the counters of [Stats].
type counts struct{ uploads, downloads, refused, failed, cut, in, out atomic.Int64 }

// Stats says what a service has done since it was made.
type Stats struct {
	Uploads   int64 `json:"uploads"`   // files stored
	Downloads int64 `json:"downloads"` // files given out, whole or in part, to their end
	Refused   int64 `json:"refused"`   // exchanges answered with 4xx
	Failed    int64 `json:"failed"`    // exchanges answered with 5xx
	Cut       int64 `json:"cut"`       // answers that could not be sent to their end
	BytesIn   int64 `json:"bytes_in"`  // bodies of uploads
	BytesOut  int64 `json:"bytes_out"` // bodies of answers
}

// New makes a service. It removes what killed processes have left of uploads in the
// directory, unless another process serves the same directory now: then some of
// that may still be written to. Close releases the service's descriptors.
func New(c Config) (*Service, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("serve directory %s: %w", c.Dir, cause(err))
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve directory %s: %w", c.Dir, err), root.Close())
	}
	s := &Service{config: c, root: root, dir: dir, origins: http.NewCrossOriginProtection()}
	s.blocks.New = func() any {
		block := make([]byte, c.Buffer)
		return &block
	}
	s.readers.New = func() any { return bufio.NewReaderSize(nil, readAhead) }
	if err := s.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("serve directory %s: %w", c.Dir, err), s.Close())
	}
	return s, nil
}

// clean removes abandoned uploads and keeps others from doing so from now on.
func (s *Service) clean() error {
	alone, err := lockAlone(s.dir)
	if err != nil {
		return fmt.Errorf("lock it: %w", err)
	}
	if alone {
		entries, err := s.entries()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), temporaryPrefix) || !e.Type().IsRegular() {
				continue
			}
			if err := s.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove an abandoned upload: %w", err)
			}
		}
	}
	if err := lockShared(s.dir); err != nil {
		return fmt.Errorf("lock it: %w", err)
	}
	return nil
}

// entries reads the directory.
func (s *Service) entries() ([]fs.DirEntry, error) {
	// A directory is read once per descriptor.
	d, err := s.root.Open(".")
	if err != nil {
		return nil, err
	}
	entries, err := d.ReadDir(-1)
	return entries, errors.Join(err, d.Close())
}

// Close waits for the exchanges under way and releases the directory. End the
// connections first: [http.Server.Shutdown] or Close. Later requests are answered
// with 503. Further calls do nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	s.under.Wait()
	if was {
		return nil
	}
	return errors.Join(s.dir.Close(), s.root.Close())
}

// begin notes an exchange, unless the service is closed.
func (s *Service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.under.Add(1)
	return true
}

// Stats returns what has been done so far.
func (s *Service) Stats() Stats {
	c := &s.counts
	return Stats{
		Uploads: c.uploads.Load(), Downloads: c.downloads.Load(),
		Refused: c.refused.Load(), Failed: c.failed.Load(), Cut: c.cut.Load(),
		BytesIn: c.in.Load(), BytesOut: c.out.Load(),
	}
}

// ServeHTTP answers a request: see the package.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Service: s, w: w, r: r, control: http.NewResponseController(w)}
	x.expectBody()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // pages of others may link, not embed
	if s.begin() {
		defer s.under.Done()
		if err := x.route(); err != nil {
			x.fail(err)
		}
	} else {
		x.fail(refuse(http.StatusServiceUnavailable, "the service is being stopped"))
	}
	x.linger()
}

// exchange is a request and its answer.
type exchange struct {
	*Service
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	unread  bool // the request has a body, of which there may be more
}

// readBy gives the client time to send more of the body; 0 for no end of it. A
// request without a body is not waited for, and a deadline would only end it
// early.
func (x *exchange) readBy(d time.Duration) {
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return
	}
	// A server without deadlines has no stalls to fear, or a test's recorder.
	_ = x.control.SetReadDeadline(until(d))
}

// writeBy gives the client time to take more of the answer. It is called when there
// is something to write, not before: an upload takes longer than any one deadline.
func (x *exchange) writeBy(d time.Duration) { _ = x.control.SetWriteDeadline(until(d)) }

func until(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// route finds out what is asked for. It is no [http.ServeMux], which answers paths
// with ".." by redirecting to others.
func (x *exchange) route() error {
	if !x.called() {
		return refuse(http.StatusMisdirectedRequest, "the service is not called that (use its address, or a name that it was told)")
	}
	path := strings.TrimPrefix(x.r.URL.Path, "/")
	if path == "upload" {
		if err := x.permit(http.MethodPost); err != nil {
			return err
		}
		return x.upload()
	}
	if err := x.permit(http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	switch path {
	case "list":
		return x.list()
	case "download":
		query, err := x.query()
		if err != nil {
			return err
		}
		if !query.Has("file") {
			return refuse(http.StatusBadRequest, "no file is named (use /download?file=NAME)")
		}
		return x.download(query.Get("file"), "attachment")
	}
	if asset, ok := assets[path]; ok {
		return x.page(asset)
	}
	return x.download(path, "inline")
}

// called tells whether the client calls the service by one of its names.
func (x *exchange) called() bool {
	host := x.r.Host
	if len(x.config.Hosts) == 0 || host == "" { // browsers always say one
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true // nobody can make that lead elsewhere
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	return slices.ContainsFunc(x.config.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// query is that of the request. What cannot be read must not be taken for absent: an
// upload would be stored under another name than the one that is meant.
func (x *exchange) query() (url.Values, error) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, `the query cannot be read (write "%" of a name as %25, and ";" as %3B)`)
	}
	return query, nil
}

// permit refuses other methods than these.
func (x *exchange) permit(methods ...string) error {
	for _, m := range methods {
		if x.r.Method == m {
			return nil
		}
	}
	allow := strings.Join(methods, ", ")
	x.w.Header().Set("Allow", allow)
	return refuse(http.StatusMethodNotAllowed, fmt.Sprintf("the method is %s (use %s)", x.r.Method, allow))
}

// cause is what the system said, without the path.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
