package files

import (
	"net/http"
	"strconv"
	"strings"
)

// mostRanges is how many ranges one request may have. Each costs a header of some
// hundred bytes, so many small ones make a large answer of a small file.
const mostRanges = 64

// withSaneRange is the request with a Range header that [http.ServeContent] answers
// as RFC 9110, section 14.2, has it. It does for what clients send as a rule, and not
// for these:
//
//   - a unit other than bytes has to be ignored, and its case does not matter;
//   - only GET has ranges, HEAD has none;
//   - the last 0 bytes, as in "bytes=-0", cannot be satisfied;
//   - numbers of any length are numbers.
//
// What cannot be satisfied, and too many ranges, becomes what ServeContent answers
// with 416; it looks at the conditions of the request first, so that has to be left
// to it.
func withSaneRange(r *http.Request, size int64) *http.Request {
	given, ok := r.Header["Range"]
	if !ok {
		return r
	}
	header := ""
	if r.Method == http.MethodGet && len(given) == 1 {
		header = saneRange(given[0], size)
	}
	sane := r.WithContext(r.Context()) // a copy that shares the headers
	sane.Header = r.Header.Clone()
	if header == "" {
		sane.Header.Del("Range")
	} else {
		sane.Header.Set("Range", header)
	}
	return sane
}

// withoutRangeByDate is the request without a Range that depends on a date.
func withoutRangeByDate(r *http.Request) *http.Request {
	condition := r.Header.Get("If-Range")
	if condition == "" || strings.Contains(condition, `"`) { // none, or an entity tag
		return r
	}
	whole := r.WithContext(r.Context())
	whole.Header = r.Header.Clone()
	whole.Header.Del("Range")
	return whole
}

// invalidRange is answered with 416.
const invalidRange = "bytes=x"

// saneRange is the header to be used in place of this one; "" for none.
func saneRange(header string, size int64) string {
	if size == 0 { // ServeContent sends an empty file for every range but a suffix
		return ""
	}
	unit, set, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return ""
	}
	var specs []string
	empty := false
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" { // RFC 9110, section 5.6.1: recipients ignore empty elements
			continue
		}
		first, last, ok := strings.Cut(spec, "-")
		first, ok1 := position(first)
		last, ok2 := position(last)
		switch {
		case !ok || !ok1 || !ok2 || first == "" && last == "":
			return invalidRange
		case first == "" && last == "0":
			empty = true
		default:
			specs = append(specs, first+"-"+last)
		}
	}
	switch {
	case len(specs) > mostRanges:
		return invalidRange
	case len(specs) > 0:
		return "bytes=" + strings.Join(specs, ",")
	case empty:
		return "bytes=" + strconv.FormatInt(size, 10) + "-" // begins behind the end
	}
	return invalidRange
}

// position is a number of a range as a 64-bit one. Longer than that is as good as
// the largest file.
func position(digits string) (string, bool) {
	if strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	if digits == "" {
		return "", true
	}
	short := strings.TrimLeft(digits, "0")
	switch {
	case short == "":
		return "0", true
	case len(short) > 18:
		return "999999999999999999", true
	}
	return short, true
}
