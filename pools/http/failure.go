package httppool

import (
	"crypto/tls"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
)

// Error is a request that failed. Its text is one line.
type Error struct {
	Method string
	URL    string // without user, password, query and fragment
	Err    error  // why; no *url.Error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %v%s", e.Method, e.URL, e.Err, advice(e.Err))
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout tells whether time ran out.
func (e *Error) Timeout() bool { return timedOut(e.Err) }

// StatusError is a reply other than 2xx.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the server replied %d %s", e.Status, nethttp.StatusText(e.Status)))
}

// failure makes an Error of whatever net/http says.
func failure(method string, u *url.URL, err error) error {
	// Its URL is that of the last redirect, and has a user name and a query.
	var outer *url.Error
	for errors.As(err, &outer) {
		err = outer.Err
	}
	return &Error{Method: method, URL: show(u), Err: withoutUsers(err)}
}

// userinfo is what stands before the host in any URL of a text. It may reach too
// far, never less than to the last @ of a word.
var userinfo = regexp.MustCompile(`://[^\s"]*@`)

// withoutUsers takes the credentials out of an error, which may quote the URL of a
// redirect or of a proxy, and makes it one line.
func withoutUsers(err error) error {
	text := err.Error()
	clean := strings.Join(strings.Fields(userinfo.ReplaceAllString(text, "://")), " ")
	if clean == text {
		return err
	}
	return &reworded{clean, err}
}

// reworded is an error with another text, of which the original cannot be had, as
// its text may hold a password. What it is can be asked.
type reworded struct {
	text string
	of   error
}

func (e *reworded) Error() string        { return e.text }
func (e *reworded) GoString() string     { return e.text }
func (e *reworded) Is(target error) bool { return errors.Is(e.of, target) }
func (e *reworded) Timeout() bool        { return timedOut(e.of) }
func (e *reworded) Temporary() bool      { return false } // with Timeout, this makes it a net.Error

// advice is what to do about a cause, where that is known.
func advice(err error) string {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return " (if this is the right server, put its issuer into RootCAs of the TLS setting)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return " (nothing listens there: check host and port, or start the server)"
	case timedOut(err):
		return " (is the address right and the server alive? else allow it more time)"
	}
	return ""
}

// parse reads the URL of a request. The error does not quote it: in one that
// cannot be read nobody knows where the password is.
func parse(rawURL string) (*url.URL, error) {
	const want = "(want http://HOST:PORT/PATH or https://...; it is not shown, as it may hold a password)"
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("http pool: the URL does not parse " + want)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("http pool: the URL is neither of http nor of https " + want)
	case u.Hostname() == "":
		return nil, errors.New("http pool: the URL names no host " + want)
	}
	return u, nil
}
