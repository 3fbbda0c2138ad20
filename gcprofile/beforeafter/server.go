package beforeafter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// routes puts a service where it belongs.
func routes(orders http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /orders", orders)
	return mux
}

// Order is the body of a request for so many of the first products, always the same
// by a seed.
func Order(seed uint64, items, products int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"order":"A-%010d","customer":"C-%06d","coupon":%q,"items":[`,
		r.IntN(1e10), r.IntN(1e6), []string{"TENOFF", "", "SPRING"}[r.IntN(3)])
	for i := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":%q,"quantity":%d}`, skuOf(r.IntN(products)), 1+r.IntN(12))
	}
	b.WriteString("]}")
	return b.Bytes()
}
