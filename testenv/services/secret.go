package services

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
)

// hidden stands where a password would be.
const hidden = "(hidden)"

// secret gives a text that is a secret. It is a function, as fmt prints whatever
// else an unexported field holds.
type secret func() string

func keep(text string) secret { return func() string { return text } }

// newPassword is a random password of letters and digits, so that it needs no
// quoting anywhere.
func newPassword() string { return rand.Text() }

// reworded is an error with another text. What it was made of can be recognised,
// but not be had: its own text may hold a password.
type reworded struct {
	text string
	of   error
}

func (e *reworded) Error() string        { return e.text }
func (e *reworded) GoString() string     { return e.text }
func (e *reworded) Is(target error) bool { return errors.Is(e.of, target) }
func (e *reworded) As(target any) bool {
	missing, ok := target.(*absence) // whose text is ours
	return ok && errors.As(e.of, missing)
}

// hide takes the secrets out of the text of an error, as they are and as they are
// in a URL, and makes it one line.
func hide(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range secrets {
		if s == "" {
			continue
		}
		user := url.UserPassword("", s).String()[1:]
		for _, form := range []string{s, user, url.QueryEscape(s), url.PathEscape(s)} {
			text = strings.ReplaceAll(text, form, hidden)
		}
	}
	if text == err.Error() {
		return oneLine(err)
	}
	return oneLine(&reworded{text: text, of: err})
}
