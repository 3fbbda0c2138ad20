package beforeafter

// tunedOrder is an order whose text lies in the body that it was read from.
type tunedOrder struct {
	id, customer, coupon []byte
	items                []tunedItem
}

type tunedItem struct {
	sku      []byte
	quantity int
}

// decode reads an order from a body, into the room that the last one has left. It
// reads what clients send: the fields that there are, each once, in any order, in
// text without escapes. Whatever else there may be, wrong or only unusual, goes the
// long way, by which the answer is the same.
func (o *tunedOrder) decode(body []byte) error {
	o.id, o.customer, o.coupon, o.items = nil, nil, nil, o.items[:0]
	d := decoder{body: body}
	if d.order(o) && len(o.id) > 0 && len(o.customer) > 0 && len(o.items) > 0 {
		return nil
	}
	plain, err := decodeAny(body)
	if err != nil {
		return err
	}
	o.id, o.customer, o.coupon, o.items = []byte(plain.ID), []byte(plain.Customer), []byte(plain.Coupon), o.items[:0]
	for _, item := range plain.Items {
		o.items = append(o.items, tunedItem{[]byte(item.SKU), item.Quantity})
	}
	return nil
}

// decoder reads JSON from the beginning to the end. Its methods return false where
// it meets what it was not made for.
type decoder struct {
	body []byte
	at   int
}

// order reads an order and nothing behind it.
func (d *decoder) order(o *tunedOrder) bool {
	if !d.token('{') {
		return false
	}
	for first := true; ; first = false {
		if d.token('}') && !first {
			d.space()
			return d.at == len(d.body)
		}
		if !first && !d.token(',') {
			return false
		}
		key, ok := d.text()
		if !ok || !d.token(':') {
			return false
		}
		switch string(key) {
		case "order":
			ok = o.id == nil && d.into(&o.id)
		case "customer":
			ok = o.customer == nil && d.into(&o.customer)
		case "coupon":
			ok = o.coupon == nil && d.into(&o.coupon)
		case "items":
			ok = len(o.items) == 0 && d.items(o)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
}

// items reads a list of at least one.
func (d *decoder) items(o *tunedOrder) bool {
	if !d.token('[') {
		return false
	}
	for len(o.items) < maxItems {
		item, ok := d.item()
		if !ok {
			return false
		}
		o.items = append(o.items, item)
		if d.token(']') {
			return true
		}
		if !d.token(',') {
			return false
		}
	}
	return false
}

// item reads one item of two fields.
func (d *decoder) item() (item tunedItem, ok bool) {
	if !d.token('{') {
		return item, false
	}
	for i := range 2 {
		if i > 0 && !d.token(',') {
			return item, false
		}
		key, ok := d.text()
		if !ok || !d.token(':') {
			return item, false
		}
		switch {
		case string(key) == "sku" && item.sku == nil:
			ok = d.into(&item.sku)
		case string(key) == "quantity" && item.quantity == 0:
			item.quantity, ok = d.quantity()
		default:
			ok = false
		}
		if !ok {
			return item, false
		}
	}
	return item, len(item.sku) > 0 && d.token('}')
}

// token skips space, and reads c if it is what comes next.
func (d *decoder) token(c byte) bool {
	d.space()
	if d.at == len(d.body) || d.body[d.at] != c {
		return false
	}
	d.at++
	return true
}

func (d *decoder) space() {
	for d.at < len(d.body) {
		switch d.body[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

func (d *decoder) into(text *[]byte) (ok bool) {
	*text, ok = d.text()
	return ok
}

// text reads text of printable ASCII without escapes. It is not nil, though it be
// empty, and its capacity ends with it.
func (d *decoder) text() ([]byte, bool) {
	if !d.token('"') {
		return nil, false
	}
	for i := d.at; i < len(d.body); i++ {
		switch c := d.body[i]; {
		case c == '"':
			text := d.body[d.at:i:i]
			d.at = i + 1
			return text, true
		case c == '\\' || c < ' ' || c > '~':
			return nil, false
		}
	}
	return nil, false
}

// quantity reads a number from 1 to maxQuantity, of digits only.
func (d *decoder) quantity() (int, bool) {
	d.space()
	n, digits := 0, 0
	for ; d.at < len(d.body) && d.body[d.at]-'0' <= 9 && digits < 6; digits++ {
		if digits == 0 && d.body[d.at] == '0' {
			return 0, false
		}
		n = 10*n + int(d.body[d.at]-'0')
		d.at++
	}
	return n, n >= 1 && n <= maxQuantity
}
