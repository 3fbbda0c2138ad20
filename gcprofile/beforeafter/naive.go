package beforeafter

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Naive is the service as it is written when nobody has measured it.
type Naive struct {
	products map[string]*Product
	log      io.Writer
	now      clock
}

// NewNaive makes the service with so many products, which writes its log to log, a
// line at a time.
func NewNaive(products int, log io.Writer) *Naive {
	s := &Naive{products: make(map[string]*Product), log: log, now: time.Now}
	for i := range products {
		p := productOf(i)
		s.products[p.SKU] = &p
	}
	return s
}

// naiveOrder is an order.
type naiveOrder struct {
	ID, Customer, Coupon string
	Items                []naiveItem
}

type naiveItem struct {
	SKU      string
	Quantity int
}

// naiveLine is what the reply says of an item.
type naiveLine struct {
	Product
	UnitPrice string `json:"unit_price"`
	Quantity  int    `json:"quantity"`
	Total     string `json:"total"`
}

// ServeHTTP answers POST /orders.
func (s *Naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	status, reply, summary := 200, []byte(nil), ""
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errTooLong
	}
	if err == nil {
		var order naiveOrder
		if order, err = decodeAny(body); err == nil {
			reply, summary = s.process(order)
		}
	}
	if err != nil {
		var text string
		status, text = failureOf(err)
		reply, _ = json.Marshal(map[string]any{"error": text})
		summary = fmt.Sprintf("error=%q", text)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
	w.WriteHeader(status)
	_, _ = w.Write(reply) // a client that has gone is no trouble of ours

	line := "time=" + began.UTC().Format(time.RFC3339Nano)
	line = line + " method=" + r.Method + " path=" + r.URL.Path
	line = line + fmt.Sprintf(" status=%d bytes=%d took_us=%d ", status, len(reply), s.now().Sub(began).Microseconds())
	line = line + summary + "\n"
	_, _ = io.WriteString(s.log, line)
}

// process looks the items up and computes the reply, and what the log says of it.
func (s *Naive) process(order naiveOrder) (reply []byte, summary string) {
	lines, unknown := []naiveLine{}, []string{}
	subtotal := int64(0)
	for _, item := range order.Items {
		p, ok := s.products[item.SKU]
		if !ok {
			unknown = append(unknown, item.SKU)
			continue
		}
		total := p.Price * int64(item.Quantity)
		subtotal += total
		lines = append(lines, naiveLine{*p, money(p.Price), item.Quantity, money(total)})
	}
	discount := discountOf(order.Coupon, subtotal)
	tax := taxOf(subtotal - discount)
	status := "accepted"
	if len(unknown) > 0 {
		status = "partial"
	}
	reply, _ = json.Marshal(map[string]any{
		"customer": order.Customer,
		"discount": money(discount),
		"lines":    lines,
		"order":    order.ID,
		"status":   status,
		"subtotal": money(subtotal),
		"tax":      money(tax),
		"total":    money(subtotal - discount + tax),
		"unknown":  unknown,
	})
	return reply, fmt.Sprintf("order=%q customer=%q lines=%d unknown=%d total=%s",
		order.ID, order.Customer, len(lines), len(unknown), money(subtotal-discount+tax))
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// decodeAny reads an order by way of map[string]any.
func decodeAny(body []byte) (o naiveOrder, err error) {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return o, badOrder("the order is not JSON: %v", err)
	}
	var ok bool
	if o.ID, ok = m["order"].(string); !ok || o.ID == "" {
		return o, badOrder("the order has no text named order")
	}
	if o.Customer, ok = m["customer"].(string); !ok || o.Customer == "" {
		return o, badOrder("the order has no text named customer")
	}
	if coupon, there := m["coupon"]; there {
		if o.Coupon, ok = coupon.(string); !ok {
			return o, badOrder("the coupon is no text")
		}
	}
	items, ok := m["items"].([]any)
	if !ok || len(items) < 1 || len(items) > maxItems {
		return o, badOrder("the order has no list of 1 to %d items", maxItems)
	}
	for i, one := range items {
		item, ok := one.(map[string]any)
		if !ok {
			return o, badOrder("item %d is no object", i)
		}
		sku, ok := item["sku"].(string)
		if !ok || sku == "" {
			return o, badOrder("item %d has no text named sku", i)
		}
		quantity, ok := item["quantity"].(float64)
		if !ok || quantity < 1 || quantity > maxQuantity || quantity != float64(int(quantity)) {
			return o, badOrder("item %d has no whole quantity of 1 to %d", i, maxQuantity)
		}
		o.Items = append(o.Items, naiveItem{sku, int(quantity)})
	}
	return o, nil
}
