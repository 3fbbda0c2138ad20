package files

import (
	"bufio"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"time"

	"netbench/internal/leftover"
)

// Stored is the answer to an upload.
type Stored struct {
	Filename   string  `json:"filename"`
	Size       int64   `json:"size"`        // bytes
	MD5        string  `json:"md5"`         // in hexadecimal
	SHA256     string  `json:"sha256"`      // in hexadecimal
	UploadTime float64 `json:"upload_time"` // seconds from the file's first byte until it is on the disk
	Speed      float64 `json:"speed"`       // bytes per second in that time
}

// upload takes one file.
func (x *exchange) upload() error {
	if err := x.origins.Check(x.r); err != nil {
		return refuse(http.StatusForbidden, "the request comes from a page of another origin")
	}
	query, err := x.query()
	if err != nil {
		return err
	}
	kind, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return refuse(http.StatusUnsupportedMediaType, "the body is no form (send multipart/form-data)")
	}
	if params["boundary"] == "" {
		return refuse(http.StatusBadRequest, "the form has no boundary")
	}
	if x.r.ContentLength > x.config.MaxSize+2*formOverhead {
		return x.tooLarge()
	}
	body := &intake{x: x, from: x.r.Body, most: formOverhead, over: errPadded, patience: x.config.Stall}
	in := x.readers.Get().(*bufio.Reader)
	in.Reset(body)
	defer func() {
		in.Reset(nil) // lets the request go
		x.readers.Put(in)
	}()
	form := multipart.NewReader(in, params["boundary"])
	part, name, err := x.filePart(form, query)
	if err != nil {
		return err
	}
	body.file(x.config.MaxSize)
	return x.take(part, name, form, in, body)
}

// filePart skips to the file of the form and finds its name.
func (x *exchange) filePart(form *multipart.Reader, query url.Values) (*multipart.Part, string, error) {
	for {
		// Not NextPart, which decodes quoted-printable: a file is stored as it came.
		part, err := form.NextRawPart()
		if err == io.EOF {
			return nil, "", refuse(http.StatusBadRequest, "the form has no file (send one field with a filename)")
		}
		if err != nil {
			return nil, "", x.unreadable(err)
		}
		// Not part.FileName, which makes a harmless name of one with a path.
		_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			return nil, "", refuse(http.StatusBadRequest, "a part of the form has no proper Content-Disposition")
		}
		name := params["filename"]
		if name == "" { // another field, or a file that was not chosen
			continue
		}
		if query.Has("name") {
			name = query.Get("name")
		}
		if err := CheckName(name); err != nil {
			return nil, "", refuse(http.StatusBadRequest, err.Error())
		}
		if there, err := x.root.Lstat(name); err == nil && there.IsDir() {
			return nil, "", refuse(http.StatusConflict, "a directory has this name")
		}
		return part, name, nil
	}
}

// take stores the file and answers.
func (x *exchange) take(part io.Reader, name string, form *multipart.Reader, in io.Reader, body *intake) error {
	begun := time.Now()
	u, err := x.newUpload()
	if err != nil {
		return x.unwritable(err)
	}
	defer u.discard()
	stored, err := x.store(u, part, body)
	if err != nil {
		return err
	}
	body.after()
	if err := x.expectEnd(form, in); err != nil {
		return err
	}
	body.rest() // while the disk is waited for, the client need not send
	if err := u.commit(name); err != nil {
		return x.unwritable(err)
	}
	took := max(time.Since(begun), time.Nanosecond).Seconds()
	stored.Filename, stored.UploadTime, stored.Speed = name, took, float64(stored.Size)/took
	x.counts.uploads.Add(1)
	x.bodyIsRead()
	x.w.Header().Set("Location", "download?file="+url.QueryEscape(name))
	x.replyJSON(http.StatusCreated, stored)
	return nil
}

// store writes and hashes the part in blocks.
func (x *exchange) store(u *upload, part io.Reader, body *intake) (stored Stored, err error) {
	block := x.blocks.Get().(*[]byte)
	defer x.blocks.Put(block)
	sum, old := sha256.New(), md5.New()
	for end := false; !end; {
		n, err := fill(part, *block)
		if end = err == io.EOF; err != nil && !end {
			return stored, x.unreadable(err)
		}
		if stored.Size += int64(n); stored.Size > x.config.MaxSize {
			return stored, x.tooLarge()
		}
		body.rest()
		sum.Write((*block)[:n]) // a hash takes everything
		old.Write((*block)[:n])
		if _, err := u.file.Write((*block)[:n]); err != nil {
			return stored, x.unwritable(err)
		}
	}
	stored.SHA256, stored.MD5 = hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(old.Sum(nil))
	return stored, nil
}

// fill reads until p is full or nothing more comes. Unlike [io.ReadFull] it returns
// the reader's own error, which tells the end of a part from the end of a body in
// the middle of it.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// expectEnd reads what follows the file: other fields, but no second file, and all
// that the request promised.
func (x *exchange) expectEnd(form *multipart.Reader, in io.Reader) error {
	for {
		part, err := form.NextRawPart()
		// The end is io.EOF itself; wrapped, it is a body without a last boundary.
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.unreadable(err)
		}
		if part.FileName() != "" {
			return refuse(http.StatusBadRequest, "the form has more than one file (upload them one by one)")
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return x.unreadable(err)
	}
	return nil
}

// unreadable says why the body could not be read.
func (x *exchange) unreadable(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return x.tooLarge()
	case errors.Is(err, errPadded):
		return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the form has more than %d bytes beside the file", formOverhead))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, fmt.Sprintf("less than %d bytes came within %v", x.config.Buffer, x.config.Stall))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(http.StatusBadRequest, "the form ends early")
	}
	return refuse(http.StatusBadRequest, "the form could not be read")
}

func (x *exchange) tooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the file is too large (at most %d bytes)", x.config.MaxSize))
}

// unwritable says why a file could not be stored.
func (x *exchange) unwritable(err error) error {
	switch {
	case isFull(err):
		return refuse(http.StatusInsufficientStorage, "the disk is full")
	case isExhausted(err):
		return refuse(http.StatusServiceUnavailable, "too many files are open (try again later)")
	case errors.Is(err, fs.ErrPermission):
		return refuse(http.StatusForbidden, "the directory may not be written to")
	}
	return refuse(http.StatusInternalServerError, "the file could not be stored")
}

// upload is a file that is not whole yet.
type upload struct {
	s    *Service
	file *os.File // nil when it is whole or removed
	name string   // the temporary one
	done func()   // says that the temporary file is gone
}

func (s *Service) newUpload() (*upload, error) {
	name := temporaryPrefix + rand.Text()
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &upload{s: s, file: f, name: name, done: leftover.Owe()}, nil
}

// commit makes the file last and gives it its name, in place of another's if need be.
func (u *upload) commit(name string) error {
	err := u.file.Sync()
	if e := u.file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = u.s.root.Rename(u.name, name)
	}
	if err != nil {
		_ = u.s.root.Remove(u.name) // the first failure is the one to tell
	}
	u.file = nil
	u.done()
	if err != nil {
		return err
	}
	return syncDir(u.s.dir)
}

// discard removes what was not committed.
func (u *upload) discard() {
	if u.file == nil {
		return
	}
	_ = u.file.Close()
	_ = u.s.root.Remove(u.name)
	u.file = nil
	u.done()
}
