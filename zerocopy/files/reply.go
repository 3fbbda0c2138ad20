package files

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// problem is an error with the status and the words that a client gets. What the
// system said beyond that stays here: it may name paths.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func refuse(status int, text string) error { return &problem{status, text} }

// errCut says that an answer was begun and could not be finished: there is nobody
// to tell.
var errCut = errors.New("the answer could not be sent to its end")

// reply sends a whole answer.
func (x *exchange) reply(status int, kind string, body []byte) {
	h := x.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache")
	x.writeBy(x.config.Stall) // also for what net/http sends when this exchange is over
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	n, err := x.w.Write(body)
	x.counts.out.Add(int64(n))
	if err != nil {
		x.counts.cut.Add(1)
	}
}

// replyJSON sends v as an object.
func (x *exchange) replyJSON(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // what is sent has fields that always encode
		panic(err)
	}
	x.reply(status, "application/json", append(body, '\n'))
}

// fail answers with an error.
func (x *exchange) fail(err error) {
	if errors.Is(err, errCut) {
		x.counts.cut.Add(1)
		return
	}
	p := &problem{http.StatusInternalServerError, "the service failed"}
	errors.As(err, &p)
	if p.status >= http.StatusInternalServerError {
		x.counts.failed.Add(1)
	} else {
		x.counts.refused.Add(1)
	}
	h := x.w.Header()
	for _, name := range []string{"Content-Disposition", "Etag", "Last-Modified", "Accept-Ranges"} {
		h.Del(name) // of the file that is not sent
	}
	x.replyJSON(p.status, struct {
		Status int    `json:"status"`
		Error  string `json:"error"`
	}{p.status, p.text})
}
