package beforeafter

import (
	"errors"
	"fmt"
	"time"
)

// What the service takes.
const (
	maxBody     = 256 << 10 // bytes of an order
	maxItems    = 500
	maxQuantity = 10_000
)

// Money is in cents. Both services compute it by these.

// discountOf is what a coupon takes off.
func discountOf(coupon string, subtotal int64) int64 {
	if coupon == "TENOFF" {
		return subtotal / 10
	}
	return 0
}

// taxOf is 19 percent, rounded to cents.
func taxOf(net int64) int64 { return (net*19 + 50) / 100 }

// An orderError is what is wrong with a request, and the status it is answered with.
type orderError struct {
	status int
	text   string
}

func (e *orderError) Error() string { return e.text }

func badOrder(format string, args ...any) error {
	return &orderError{400, fmt.Sprintf(format, args...)}
}

var errTooLong = &orderError{413, fmt.Sprintf("the order is longer than %d bytes", maxBody)}

// failureOf is the status and text of an error.
func failureOf(err error) (status int, text string) {
	var e *orderError
	if errors.As(err, &e) {
		return e.status, e.text
	}
	return 400, err.Error()
}

// clock tells the time; tests have one of their own.
type clock func() time.Time
