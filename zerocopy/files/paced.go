package files

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

// paced is where a file is written to: the answer, a block at a time, with a new
// deadline for each. It keeps the way open on which the kernel sends a file by
// itself: [io.Copy] finds ReadFrom here, which finds it in what is below.
//
// Errors that [http.ServeContent] answers with are kept for [paced.end], as they are
// to be sent as JSON.
type paced struct {
	http.ResponseWriter
	x *exchange

	undated bool  // the date of the file is not to be sent
	status  int   // that was sent, 0 for none
	refused int   // status of an error that was not, 0 for none
	sent    int64 // bytes of the body
	err     error // that ended the answer early
}

// Unwrap is for [http.ResponseController].
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *paced) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		p.refused = status
		return
	}
	p.status = status
	if p.undated {
		p.Header().Del("Last-Modified")
	}
	p.x.writeBy(p.x.config.Stall)
	p.ResponseWriter.WriteHeader(status)
}

func (p *paced) Write(b []byte) (int, error) {
	if p.refused != 0 {
		return len(b), nil // the text of the error
	}
	p.x.writeBy(p.x.config.Stall)
	n, err := p.ResponseWriter.Write(b)
	return n, p.wrote(int64(n), err)
}

// ReadFrom writes a file, or what else there is: the parts of several ranges come
// from a pipe.
func (p *paced) ReadFrom(src io.Reader) (int64, error) {
	rest, _ := src.(*io.LimitedReader)
	below, direct := p.ResponseWriter.(io.ReaderFrom)
	if rest == nil || !direct || p.refused != 0 {
		return p.copy(src)
	}
	file, ok := rest.R.(*os.File)
	if !ok {
		return p.copy(src)
	}
	var total int64
	// The system call gets a file and a number of bytes, nothing else: any other
	// reader in between would make it a copy through memory. One for all pieces, as
	// what a slow reader leaves to the collector counts as much as what it holds.
	piece := io.LimitedReader{R: file}
	for rest.N > 0 {
		piece.N = min(rest.N, int64(p.x.config.Buffer))
		p.x.writeBy(p.x.config.Stall)
		n, err := below.ReadFrom(&piece)
		total += n
		rest.N -= n
		if err := p.wrote(n, err); err != nil {
			return total, err
		}
		if n == 0 {
			break // the file has become shorter; the answer stays short, too
		}
	}
	return total, nil
}

// copy writes through a block of memory. It is not [io.Copy], which would come back
// to ReadFrom.
func (p *paced) copy(src io.Reader) (int64, error) {
	block := p.x.blocks.Get().(*[]byte)
	defer p.x.blocks.Put(block)
	var total int64
	for {
		n, readErr := src.Read(*block)
		if n > 0 {
			written, err := p.Write((*block)[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		if readErr == io.EOF {
			return total, nil
		}
		if readErr != nil {
			return total, readErr
		}
	}
}

// wrote counts, and keeps the first error.
func (p *paced) wrote(n int64, err error) error {
	p.sent += n
	p.x.counts.out.Add(n)
	if p.err == nil {
		p.err = err
	}
	return err
}

// end is what became of the answer.
func (p *paced) end(size int64) error {
	h := p.Header()
	switch {
	case p.refused == http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return refuse(p.refused, fmt.Sprintf("the range cannot be satisfied (the file has %d bytes)", size))
	case p.refused == http.StatusPreconditionFailed:
		return refuse(p.refused, "the file is not in the state that the request asks for")
	case p.refused != 0:
		return refuse(http.StatusInternalServerError, "the file could not be read")
	case p.err != nil:
		return fmt.Errorf("%w: %w", errCut, p.err)
	}
	if p.x.r.Method == http.MethodHead || p.status != http.StatusOK && p.status != http.StatusPartialContent {
		return nil
	}
	// A file that became shorter, or could not be read to its end.
	if promised := h.Get("Content-Length"); promised != strconv.FormatInt(p.sent, 10) {
		return fmt.Errorf("%w: %d bytes of %s", errCut, p.sent, promised)
	}
	p.x.counts.downloads.Add(1)
	return nil
}
