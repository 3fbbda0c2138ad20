package files

import (
	"errors"
	"io"
	"time"
)

// What a body can have more of than it may.
var (
	errTooLarge = errors.New("the file is too large")
	errPadded   = errors.New("the form has too much beside the file")
)

// intake is the body of an upload as it comes. It ends one that is too large, and
// one whose client stalls: a client has to send a block within its patience, in
// which only the time counts that is spent in Read.
type intake struct {
	x    *exchange
	from io.Reader

	most int64 // bytes that may still come
	over error // what it is if more do

	patience time.Duration // left for the current block
	moved    int           // bytes of the current block
	timed    bool          // a deadline is set
}

func (in *intake) Read(p []byte) (int, error) {
	if in.most <= 0 {
		// There may be nothing more: one byte tells.
		p = p[:min(len(p), 1)]
	} else if int64(len(p)) > in.most {
		p = p[:in.most]
	}
	begun := time.Now()
	// Not 0, which would be no deadline: one in the past ends the next Read.
	in.x.readBy(max(in.patience, time.Nanosecond))
	in.timed = true
	n, err := in.from.Read(p)
	in.x.counts.in.Add(int64(n))
	in.patience -= time.Since(begun)
	if in.moved += n; in.moved >= in.x.config.Buffer {
		in.moved, in.patience = 0, in.x.config.Stall
	}
	if in.most -= int64(n); in.most < 0 {
		return 0, in.over
	}
	if err == io.EOF {
		// From here on net/http waits for the client to go away or to send the next
		// request, in the background; a deadline would look like that.
		in.rest()
	}
	return n, err
}

// file lets a file of at most size bytes come. Some of what stands behind it may be
// read along with it.
func (in *intake) file(size int64) {
	in.most, in.over = in.most+size+formOverhead, errTooLarge
}

// after ends that: what was not used of the file's size is not for what follows.
func (in *intake) after() {
	in.most, in.over = min(in.most, formOverhead), errPadded
}

// rest takes the deadline away while the client is not waited for.
func (in *intake) rest() {
	if in.timed {
		in.x.readBy(0)
		in.timed = false
	}
}
