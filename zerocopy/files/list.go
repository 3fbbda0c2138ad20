package files

import (
	"embed"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Listing is the answer to /list.
type Listing struct {
	Files   []Entry `json:"files"`    // by name, never null
	MaxSize int64   `json:"max_size"` // of an upload, bytes
}

// Entry is a file of a listing.
type Entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"` // bytes
	Modified time.Time `json:"modified"`
}

// list names the files that can be downloaded.
func (x *exchange) list() error {
	entries, err := x.entries()
	if err != nil {
		if isExhausted(err) {
			return refuse(http.StatusServiceUnavailable, "too many files are open (try again later)")
		}
		return refuse(http.StatusInternalServerError, "the directory could not be read")
	}
	found := Listing{Files: []Entry{}, MaxSize: x.config.MaxSize}
	for _, e := range entries {
		if CheckName(e.Name()) != nil {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			info, err = x.root.Stat(e.Name())
		}
		// A file may have been removed meanwhile, and a link may lead out of here.
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		found.Files = append(found.Files, Entry{e.Name(), info.Size(), info.ModTime().UTC()})
	}
	slices.SortFunc(found.Files, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	x.replyJSON(http.StatusOK, found)
	return nil
}

//go:embed page
var pages embed.FS

// asset is a part of the page.
type asset struct{ file, kind string }

// assets are the parts of the page by path. No file has a name with a slash, so they
// hide none.
var assets = map[string]asset{
	"":           {"page/index.html", "text/html; charset=utf-8"},
	"-/page.js":  {"page/page.js", "text/javascript; charset=utf-8"},
	"-/page.css": {"page/page.css", "text/css; charset=utf-8"},
}

// pagePolicy lets the page use what comes from here, and no script of its own text.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// page sends a part of the page.
func (x *exchange) page(a asset) error {
	text, err := pages.ReadFile(a.file)
	if err != nil { // it is part of the program
		panic(err)
	}
	x.w.Header().Set("Content-Security-Policy", pagePolicy)
	x.reply(http.StatusOK, a.kind, text)
	return nil
}
