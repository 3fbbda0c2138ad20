package beforeafter

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Tuned is the same service, written so that a request leaves little behind.
type Tuned struct {
	products *catalogue
	log      io.Writer
	now      clock
	desks    sync.Pool // of *desk
}

// NewTuned makes the service with so many products, which writes its log to log, a
// line at a time.
func NewTuned(products int, log io.Writer) *Tuned {
	s := &Tuned{products: newCatalogue(products), log: log, now: time.Now}
	s.desks.New = func() any { return &desk{body: make([]byte, 0, 4<<10), reply: make([]byte, 0, 8<<10)} }
	return s
}

// desk is what a request is worked at. It is passed on to other requests.
type desk struct {
	body, reply, line, lines, unknown []byte
	order                             tunedOrder
	nLines, nUnknown                  int
	total                             int64
}

// maxKept bounds the buffers that are passed on: one huge order would otherwise
// occupy memory for as long as the desk is used.
const maxKept = 64 << 10

func (d *desk) kept() int {
	return cap(d.body) + cap(d.reply) + cap(d.line) + cap(d.lines) + cap(d.unknown)
}

// leave passes the desk on, unless it has become large, without what only this
// request had.
func (s *Tuned) leave(d *desk) {
	if d.kept() > maxKept {
		return
	}
	clear(d.order.items)
	d.order = tunedOrder{items: d.order.items[:0]}
	s.desks.Put(d)
}

// jsonType is shared by all replies, which read it only.
var jsonType = []string{"application/json"}

// ServeHTTP answers POST /orders.
func (s *Tuned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	d := s.desks.Get().(*desk)
	defer s.leave(d)
	status, failure := 200, ""
	err := d.read(r)
	if err == nil {
		err = d.order.decode(d.body)
	}
	if err == nil {
		s.process(d)
	} else {
		status, failure = failureOf(err)
		d.reply = append(appendText(append(d.reply[:0], `{"error":`...), failure), '}')
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(d.reply))}
	w.WriteHeader(status)
	_, _ = w.Write(d.reply) // a client that has gone is no trouble of ours

	b := append(d.line[:0], "time="...)
	b = began.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, " method="...), r.Method...)
	b = append(append(b, " path="...), r.URL.Path...)
	b = strconv.AppendInt(append(b, " status="...), int64(status), 10)
	b = strconv.AppendInt(append(b, " bytes="...), int64(len(d.reply)), 10)
	b = strconv.AppendInt(append(b, " took_us="...), s.now().Sub(began).Microseconds(), 10)
	if err != nil {
		b = strconv.AppendQuote(append(b, " error="...), failure)
	} else {
		b = appendQuote(append(b, " order="...), d.order.id)
		b = appendQuote(append(b, " customer="...), d.order.customer)
		b = strconv.AppendInt(append(b, " lines="...), int64(d.nLines), 10)
		b = strconv.AppendInt(append(b, " unknown="...), int64(d.nUnknown), 10)
		b = appendMoney(append(b, " total="...), d.total)
	}
	d.line = append(b, '\n')
	_, _ = s.log.Write(d.line)
}

// read reads the body into the desk's buffer.
func (d *desk) read(r *http.Request) error {
	b := d.body[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):min(cap(b), maxBody+1)])
		b = b[:len(b)+n]
		d.body = b
		switch {
		case len(b) > maxBody:
			return errTooLong
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// process looks the items up and writes the reply at the desk.
func (s *Tuned) process(d *desk) {
	o := &d.order
	lines, unknown := d.lines[:0], d.unknown[:0]
	d.nLines, d.nUnknown = 0, 0
	subtotal := int64(0)
	for i := range o.items {
		item := &o.items[i]
		text, price, ok := s.products.find(item.sku)
		if !ok {
			if d.nUnknown++; d.nUnknown > 1 {
				unknown = append(unknown, ',')
			}
			unknown = appendText(unknown, item.sku)
			continue
		}
		if d.nLines++; d.nLines > 1 {
			lines = append(lines, ',')
		}
		total := price * int64(item.quantity)
		subtotal += total
		lines = append(lines, text...)
		lines = strconv.AppendInt(append(lines, `,"quantity":`...), int64(item.quantity), 10)
		lines = append(appendMoney(append(lines, `,"total":"`...), total), `"}`...)
	}
	d.lines, d.unknown = lines, unknown
	discount := discountOf(string(o.coupon), subtotal)
	tax := taxOf(subtotal - discount)
	d.total = subtotal - discount + tax

	// Fields are in the order of their names, as those of a map are.
	b := appendText(append(d.reply[:0], `{"customer":`...), o.customer)
	b = appendMoney(append(b, `,"discount":"`...), discount)
	b = append(append(b, `","lines":[`...), lines...)
	b = appendText(append(b, `],"order":`...), o.id)
	if d.nUnknown > 0 {
		b = append(b, `,"status":"partial"`...)
	} else {
		b = append(b, `,"status":"accepted"`...)
	}
	b = appendMoney(append(b, `,"subtotal":"`...), subtotal)
	b = appendMoney(append(b, `","tax":"`...), tax)
	b = appendMoney(append(b, `","total":"`...), d.total)
	b = append(append(b, `","unknown":[`...), unknown...)
	d.reply = append(b, "]}"...)
}

func appendMoney(b []byte, cents int64) []byte {
	b = append(strconv.AppendInt(b, cents/100, 10), '.')
	return append(b, '0'+byte(cents%100/10), '0'+byte(cents%10))
}

// appendText appends text as encoding/json writes it, and leaves to it what has to
// be escaped.
func appendText[T string | []byte](b []byte, text T) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			escaped, err := json.Marshal(string(text))
			if err != nil {
				panic(err) // every string can be encoded
			}
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// appendQuote appends text as %q does.
func appendQuote(b, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return strconv.AppendQuote(b, string(text))
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
