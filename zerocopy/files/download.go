package files

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// download gives out a file, "inline" or as an "attachment".
func (x *exchange) download(name, kind string) error {
	if err := CheckName(name); err != nil {
		return refuse(http.StatusBadRequest, err.Error())
	}
	f, info, err := x.open(name)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	h := x.w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("Content-Disposition", disposition(kind, name))
	h.Set("Etag", etag(info))
	h.Set("Cache-Control", "no-cache") // ask whether it is still the same
	// Somebody else's file must not run as part of this site.
	h.Set("Content-Security-Policy", "sandbox")
	r, undated := withSaneRange(x.r, info.Size()), young(info.ModTime())
	if undated {
		r = withoutRangeByDate(r)
	}
	out := &paced{ResponseWriter: x.w, x: x, undated: undated}
	http.ServeContent(out, r, name, info.ModTime(), f)
	return out.end(info.Size())
}

// young tells whether a file may change again within the second in which it changed
// last, or says that it did so in the future. Its date cannot tell one state of it
// from another yet: a download that is resumed by such a date could be one half of
// each. So the date is not given out, and none is right as an If-Range (RFC 9110,
// sections 8.8.2.2 and 13.1.5). Two seconds, as files are stamped by a clock that ticks.
func young(modified time.Time) bool { return time.Since(modified) < 2*time.Second }

// open opens a file that may be given out. What is none of the service's files is
// not there.
func (x *exchange) open(name string) (*os.File, fs.FileInfo, error) {
	missing := refuse(http.StatusNotFound, "there is no such file")
	f, err := x.root.OpenFile(name, openFlags, 0)
	switch {
	case isExhausted(err):
		return nil, nil, refuse(http.StatusServiceUnavailable, "too many files are open (try again later)")
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, refuse(http.StatusForbidden, "the file may not be read")
	case err != nil: // also a link that leads out of the directory
		return nil, nil, missing
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = f.Close() // it was only read
		if err == nil && info.IsDir() {
			missing = refuse(http.StatusNotFound, "that is a directory, not a file")
		}
		return nil, nil, missing
	}
	return f, info, nil
}

// contentType is told by the name, as a look at the content would cost a read and
// can be misled.
func contentType(name string) string {
	if kind := mime.TypeByExtension(filepath.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// etag tells one state of a file from another. A file that is replaced within the
// same tick of the clock by one of the same size still has another inode.
func etag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x-%x"`, info.Size(), info.ModTime().UnixNano(), inode(info))
}
