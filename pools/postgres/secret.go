package postgres

import (
	"errors"
	"net/url"
	"strings"
)

// hidden stands where a password would be.
const hidden = "(hidden)"

// errDSN does not quote the DSN: in one that cannot be read nobody knows where
// the password is.
var errDSN = errors.New("the DSN does not parse (want postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=disable, or key=value words; it is not shown, as it may hold a password)")

// reworded is an error with another text. What it was made of can be recognised,
// but not be had: drivers keep whole configurations in their errors.
type reworded struct {
	text string
	of   error
}

func (e *reworded) Error() string        { return e.text }
func (e *reworded) GoString() string     { return e.text }
func (e *reworded) Is(target error) bool { return errors.Is(e.of, target) }

// Timeout makes a time-out recognisable as one.
func (e *reworded) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.of, &t) && t.Timeout()
}

// hide makes an error one line without the password in it, as it is or as it is
// in a URL.
func hide(err error, password string) error {
	if err == nil {
		return nil
	}
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
	if password != "" {
		inURL := url.UserPassword("", password).String()[1:]
		for _, form := range []string{password, inURL, url.QueryEscape(password), url.PathEscape(password)} {
			text = strings.ReplaceAll(text, form, hidden)
		}
	}
	return &reworded{text: text, of: err}
}
