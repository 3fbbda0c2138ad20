package beforeafter

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const fewProducts = 500

// twins are both services with the same products, and what each logs.
type twins struct {
	naive, tuned       http.Handler
	naiveLog, tunedLog bytes.Buffer
	naiveItself        *Naive
	tunedItself        *Tuned
}

func newTwins() *twins {
	t := &twins{}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	n, u := NewNaive(fewProducts, &t.naiveLog), NewTuned(fewProducts, &t.tunedLog)
	n.now = func() time.Time { return noon }
	u.now = n.now
	t.naiveItself, t.tunedItself = n, u
	t.naive, t.tuned = routes(n), routes(u)
	return t
}

// ask gives both the same request.
func (t *twins) ask(method, path string, body []byte) (naive, tuned *httptest.ResponseRecorder) {
	both := [2]*httptest.ResponseRecorder{httptest.NewRecorder(), httptest.NewRecorder()}
	for i, h := range []http.Handler{t.naive, t.tuned} {
		h.ServeHTTP(both[i], httptest.NewRequest(method, path, bytes.NewReader(body)))
	}
	return both[0], both[1]
}

// requireSame fails unless both answer and log the same.
func (t *twins) requireSame(tb testing.TB, method, path string, body []byte) *httptest.ResponseRecorder {
	tb.Helper()
	t.naiveLog.Reset()
	t.tunedLog.Reset()
	n, u := t.ask(method, path, body)
	require.Equal(tb, n.Code, u.Code, "status to %.200q", body)
	require.Equal(tb, n.Body.String(), u.Body.String(), "reply to %.200q", body)
	require.Equal(tb, n.Header(), u.Header())
	require.Equal(tb, t.naiveLog.String(), t.tunedLog.String(), "log of %.200q", body)
	return u
}

// unusual are orders that clients seldom send, and what is answered.
var unusual = []struct {
	name, body string
	status     int
	says       string
}{
	{"spaces", " {\"order\" :\t\"A\",\r\n\"customer\": \"C\", \"items\" : [ { \"quantity\" : 3 , \"sku\" : \"SKU-00000001\" } ] } \n", 200, `"quantity":3`},
	{"other order of fields", `{"items":[{"sku":"SKU-00000001","quantity":1}],"coupon":"TENOFF","customer":"C","order":"A"}`, 200, `"status":"accepted"`},
	{"an unknown product", `{"order":"A","customer":"C","items":[{"sku":"none","quantity":1},{"sku":"nor this","quantity":1}]}`, 200, `"unknown":["none","nor this"]`},
	{"empty coupon", `{"order":"A","customer":"C","coupon":"","items":[{"sku":"SKU-00000001","quantity":1}]}`, 200, `"discount":"0.00"`},
	{"markup", `{"order":"<A&B>","customer":"it's","items":[{"sku":"<none>","quantity":1}]}`, 200, `"\u003cA\u0026B\u003e"`},
	{"escapes", `{"order":"\u0041\n\"","customer":"C\\","items":[{"sku":"SKU-0000000\u0031","quantity":1}]}`, 200, `"order":"A\n\""`},
	{"not ASCII", `{"order":"größe","customer":"日本","items":[{"sku":"ü","quantity":1}]}`, 200, `"customer":"日本"`},
	{"not UTF-8", "{\"order\":\"\xff\",\"customer\":\"C\",\"items\":[{\"sku\":\"\xfe\",\"quantity\":1}]}", 200, "\ufffd"},
	{"delete", "{\"order\":\"\x7f\",\"customer\":\"C\",\"items\":[{\"sku\":\"x\",\"quantity\":1}]}", 200, "\"order\":\"\x7f\""},
	{"twice the same field", `{"order":"A","order":"B","customer":"C","items":[{"sku":"x","quantity":1,"quantity":2}]}`, 200, `"order":"B"`},
	{"twice the items", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":1}],"items":[{"sku":"y","quantity":1}]}`, 200, `"unknown":["y"]`},
	{"fields of others", `{"order":"A","customer":"C","note":{"a":[1,2]},"items":[{"sku":"x","quantity":1,"gift":true}]}`, 200, "partial"},
	{"names in capitals are others", `{"ORDER":"A","customer":"C","items":[{"sku":"x","quantity":1}]}`, 400, "no text named order"},
	{"a number with a point", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":2.0}]}`, 200, "partial"},
	{"a number with an exponent", `{"order":"A","customer":"C","items":[{"sku":"SKU-00000002","quantity":1e2}]}`, 200, `"quantity":100`},
	{"half a piece", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":0.5}]}`, 400, "whole quantity"},
	{"none", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":0}]}`, 400, "whole quantity"},
	{"the most", `{"order":"A","customer":"C","items":[{"sku":"SKU-00000003","quantity":10000}]}`, 200, `"quantity":10000`},
	{"too many", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":10001}]}`, 400, "whole quantity"},
	{"a leading zero", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":01}]}`, 400, "not JSON"},
	{"below zero", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":-1}]}`, 400, "whole quantity"},
	{"a huge number", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":1e999}]}`, 400, "not JSON"},
	{"no items", `{"order":"A","customer":"C","items":[]}`, 400, "1 to 500 items"},
	{"an item that is none", `{"order":"A","customer":"C","items":[7]}`, 400, "item 0 is no object"},
	{"an item without a name", `{"order":"A","customer":"C","items":[{"quantity":7}]}`, 400, "text named sku"},
	{"no order", `{"order":"","customer":"C","items":[{"sku":"x","quantity":1}]}`, 400, "text named order"},
	{"no customer", `{"order":"A","items":[{"sku":"x","quantity":1}]}`, 400, "text named customer"},
	{"a coupon that is a number", `{"order":"A","customer":"C","coupon":7,"items":[{"sku":"x","quantity":1}]}`, 400, "coupon"},
	{"a comma at the end", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":1},]}`, 400, "not JSON"},
	{"something behind it", `{"order":"A","customer":"C","items":[{"sku":"x","quantity":1}]} x`, 400, "not JSON"},
	{"a list", `[]`, 400, "not JSON"},
	{"null", `null`, 400, "text named order"},
	{"an empty object", `{}`, 400, "text named order"},
	{"nothing", ``, 400, "not JSON"},
	{"half of it", `{"order":"A","custo`, 400, "not JSON"},
}

func TestBothServicesAnswerAndLogTheSame(t *testing.T) {
	both := newTwins()
	for seed := range uint64(200) {
		reply := both.requireSame(t, http.MethodPost, "/orders", Order(seed, 1+int(seed)%60, fewProducts+20))
		require.Equal(t, http.StatusOK, reply.Code)
	}
	assert.Contains(t, both.tunedLog.String(), "time=2026-03-01T12:00:00.123456Z method=POST path=/orders status=200 bytes=")
	for _, c := range unusual {
		t.Run(c.name, func(t *testing.T) {
			reply := both.requireSame(t, http.MethodPost, "/orders", []byte(c.body))
			assert.Equal(t, c.status, reply.Code, reply.Body)
			assert.Contains(t, reply.Body.String(), c.says)
		})
	}
	for name, body := range map[string]string{
		"more items than are allowed":   string(Order(1, maxItems+1, fewProducts)),
		"as many items as are allowed":  string(Order(1, maxItems, fewProducts)),
		"as long as is allowed":         string(Order(1, 20, fewProducts)) + strings.Repeat(" ", maxBody-len(Order(1, 20, fewProducts))),
		"one byte longer":               string(Order(1, 20, fewProducts)) + strings.Repeat(" ", maxBody+1-len(Order(1, 20, fewProducts))),
		"very much longer":              strings.Repeat(" ", 2*maxBody),
		"an order after all the others": string(Order(3, 20, fewProducts)),
	} {
		t.Run(name, func(t *testing.T) { both.requireSame(t, http.MethodPost, "/orders", []byte(body)) })
	}
	assert.Equal(t, http.StatusMethodNotAllowed, both.requireSame(t, http.MethodGet, "/orders", nil).Code)
	assert.Equal(t, http.StatusNotFound, both.requireSame(t, http.MethodPost, "/", nil).Code)
}

// What is asked for is computed right, and not only twice the same.
func TestAnOrderIsPricedByHand(t *testing.T) {
	both := newTwins()
	p := productOf(7)
	reply := both.requireSame(t, http.MethodPost, "/orders",
		[]byte(`{"order":"A","customer":"C","coupon":"TENOFF","items":[{"sku":"SKU-00000007","quantity":3}]}`))
	subtotal := 3 * p.Price
	net := subtotal - subtotal/10
	tax := (net*19 + 50) / 100
	euro := func(c int64) string { return fmt.Sprintf("%.2f", float64(c)/100) }
	assert.JSONEq(t, fmt.Sprintf(`{"customer":"C","order":"A","status":"accepted","unknown":[],"discount":%q,"subtotal":%q,"tax":%q,"total":%q,
		"lines":[{"sku":"SKU-00000007","name":%s,"category":%q,"supplier":%q,"tags":[%q,%q,%q],"unit_price":%q,"quantity":3,"total":%q}]}`,
		euro(subtotal/10), euro(subtotal), euro(tax), euro(net+tax), string(appendText(nil, p.Name)), p.Category, p.Supplier,
		p.Tags[0], p.Tags[1], p.Tags[2], euro(p.Price), euro(subtotal)), reply.Body.String())
}

func FuzzBothServicesAnswerTheSame(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(Order(seed, 3, fewProducts))
	}
	for _, c := range unusual {
		f.Add([]byte(c.body))
	}
	var mu sync.Mutex
	both := newTwins()
	f.Fuzz(func(t *testing.T, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		both.requireSame(t, http.MethodPost, "/orders", body)
	})
}

// A desk that another request used shows nothing of it, also when many are at work.
func TestRepliesDoNotMixWhenManyAsk(t *testing.T) {
	service := NewTuned(fewProducts, discardLog{})
	want := make([]string, 8)
	naive := NewNaive(fewProducts, discardLog{})
	for i := range want {
		w := httptest.NewRecorder()
		naive.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/orders", bytes.NewReader(Order(uint64(i), 5+i, fewProducts))))
		want[i] = w.Body.String()
	}
	var all sync.WaitGroup
	for i := range want {
		all.Go(func() {
			body := Order(uint64(i), 5+i, fewProducts)
			for range 200 {
				w := httptest.NewRecorder()
				service.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/orders", bytes.NewReader(body)))
				if !assert.Equal(t, want[i], w.Body.String()) {
					return
				}
			}
		})
	}
	all.Wait()
}

type discardLog struct{}

func (discardLog) Write(p []byte) (int, error) { return len(p), nil }

func TestAHugeOrderDoesNotStayInThePool(t *testing.T) {
	s := NewTuned(10, discardLog{})
	made := 0
	fresh := s.desks.New
	s.desks.New = func() any { made++; return fresh() }
	huge := append(Order(1, 20, 10), bytes.Repeat([]byte(" "), 100<<10)...)
	for range 10 {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/orders", bytes.NewReader(huge)))
	}
	assert.Equal(t, 10, made, "a desk each, none of which was passed on")
}

// writer is a ResponseWriter that keeps nothing, so that what is counted is the
// service's.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }
func (w *writer) WriteHeader(int)             {}

func TestTheTunedHandlerAllocatesHardlyAnything(t *testing.T) {
	body := Order(1, 20, fewProducts)
	count := func(h http.Handler) float64 {
		r := httptest.NewRequest(http.MethodPost, "/orders", nil)
		reader := bytes.NewReader(body)
		r.Body = readCloser{reader}
		w := &writer{http.Header{}}
		return testing.AllocsPerRun(200, func() {
			reader.Reset(body)
			h.ServeHTTP(w, r)
		})
	}
	naive, tuned := count(NewNaive(fewProducts, discardLog{})), count(NewTuned(fewProducts, discardLog{}))
	t.Logf("allocations of the handler alone: naive %v, tuned %v", naive, tuned)
	assert.Greater(t, naive, 200.0)
	assert.Less(t, tuned, naive/20, "the race detector makes the pool drop a part")
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
