package files

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name in bytes that file systems commonly take.
const maxName = 255

// CheckName returns nil if name can be the name of a file here, else what is wrong
// with it. Names have 1 to 255 bytes of UTF-8, no separator of any system, no
// control character, and do not begin with a dot: so the service's own temporary
// files, and those that somebody hid, are out of reach, and "." and ".." are no
// names.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("no name is given")
	case len(name) > maxName:
		return fmt.Errorf("the name has %d bytes (at most %d)", len(name), maxName)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case strings.ContainsAny(name, `/\`):
		return errors.New(`the name has a separator (neither "/" nor "\" may be part of it)`)
	case name[0] == '.':
		return errors.New("the name begins with a dot")
	}
	if i := strings.IndexFunc(name, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Errorf("the name has a control character (%U)", r)
	}
	if !filepath.IsLocal(name) {
		return errors.New("the name means something else on this system")
	}
	return nil
}

// disposition is a Content-Disposition (RFC 6266) of a kind, "inline" or
// "attachment". The plain filename, for old clients, is ASCII without what they
// disagree about (quotes, backslashes, percent signs: RFC 6266, appendix D); where
// that differs from the name, filename* has the name itself (RFC 8187).
func disposition(kind, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || strings.ContainsRune(`"\%`, r) {
			return '_'
		}
		return r
	}, name)
	value := kind + `; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + extended(name)
	}
	return value
}

// extended is a value as RFC 8187 writes it: bytes that are no attr-char, in
// hexadecimal.
func extended(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
