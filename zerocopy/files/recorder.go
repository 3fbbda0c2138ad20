package files

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// Answer is what [Record] tells of a request and its answer.
type Answer struct {
	Method, Path string
	Status       int           // 200 if the handler did not say
	Bytes        int64         // of the answer's body
	Took         time.Duration // until the handler returned
}

// Record is middleware: it has next answer, then tells done about it. What next
// gets as its [http.ResponseWriter] can all that the one below can, so files still
// go out by sendfile. Done is called by several goroutines.
func Record(next http.Handler, done func(Answer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		rec := &recorder{ResponseWriter: w}
		method, path := r.Method, r.URL.Path
		defer func() { // also if next panics to end the connection
			if rec.status == 0 {
				rec.status = http.StatusOK
			}
			done(Answer{method, path, rec.status, rec.bytes, time.Since(begun)})
		}()
		next.ServeHTTP(rec, r)
	})
}

// recorder counts what passes. A wrapper with fewer methods would make of every
// download a copy through memory, and hide Flush and Hijack.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for [http.ResponseController], which sets deadlines on what is below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// WriteString spares a copy where that is possible below.
func (r *recorder) WriteString(text string) (int, error) {
	n, err := io.WriteString(r.ResponseWriter, text)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom passes the reader on as it is: sendfile needs the file itself.
func (r *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	if below, ok := r.ResponseWriter.(io.ReaderFrom); ok {
		n, err = below.ReadFrom(src)
	} else {
		n, err = io.Copy(justWriter{r.ResponseWriter}, src)
	}
	r.bytes += n
	return n, err
}

// Flush sends what is buffered, if that can be done.
func (r *recorder) Flush() { _ = r.FlushError() }

// FlushError is Flush with its error.
func (r *recorder) FlushError() error { return http.NewResponseController(r.ResponseWriter).Flush() }

// Hijack hands the connection over, if that can be done.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// justWriter hides every method but Write.
type justWriter struct{ io.Writer }
