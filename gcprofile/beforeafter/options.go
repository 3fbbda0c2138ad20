package beforeafter

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"netbench/load"
)

// ErrInput is wrapped by the errors of options that make no sense.
var ErrInput = errors.New("bad input")

type inputError struct{ text string }

func (e *inputError) Error() string { return e.text }
func (e *inputError) Unwrap() error { return ErrInput }

func badInput(format string, args ...any) error { return &inputError{fmt.Sprintf(format, args...)} }

// A Collector is a setting of Go's collector, in the words of its variables.
type Collector struct {
	GOGC       string `json:"gogc"`
	GOMEMLIMIT string `json:"gomemlimit"`
}

// byDefault is how Go collects where nothing was set.
var byDefault = Collector{"100", "off"}

// DefaultCollector is that of the tuned service. Its live set is small and without
// pointers, so the heap may grow to two and a half times of it and still be smaller than the
// naive one's at its default; the limit is for the day on which it does not stay so.
var DefaultCollector = Collector{"150", "1GiB"}

// Options say how the two services are compared. A zero field has its default.
type Options struct {
	Products int           // in the live set of both; default 350,000, which is about 110 MiB of the naive one
	Items    int           // of an order; default 20
	Conns    int           // connections; default 32
	Rate     float64       // requests a second, to both; 0: Share of what the naive one can do
	Share    float64       // 0 to 0.9; default 0.6
	Rounds   int           // a block of each; default 8
	Block    time.Duration // measured length of a block, default 36 s
	Warmup   time.Duration // at the same rate before each block; default 3 s
	Tuned    Collector     // of the tuned service; fields that are empty are those of DefaultCollector
	Seed     uint64        // of the order of blocks, of arrivals and of the order that is sent

	// Progress is told what happens; nil for nobody.
	Progress func(line string)
}

const (
	maxProducts = 5_000_000

	// bytesPerProduct is what a product costs the naive service at most, with the
	// garbage that lies about before a collection: about 400 bytes live, twice that at
	// GOGC=100.
	bytesPerProduct = 1000
)

// Check returns the error that [Measure] would refuse the options with.
func (o Options) Check() error {
	_, err := o.normalize()
	return err
}

// normalize checks o and fills in its defaults.
func (o Options) normalize() (Options, error) {
	o.Products = cmp.Or(o.Products, 350_000)
	o.Items = cmp.Or(o.Items, 20)
	o.Conns = cmp.Or(o.Conns, 32)
	o.Share = cmp.Or(o.Share, 0.6)
	o.Rounds = cmp.Or(o.Rounds, 8)
	o.Block = cmp.Or(o.Block, 36*time.Second)
	o.Warmup = cmp.Or(o.Warmup, 3*time.Second)
	o.Tuned.GOGC = cmp.Or(o.Tuned.GOGC, DefaultCollector.GOGC)
	o.Tuned.GOMEMLIMIT = cmp.Or(o.Tuned.GOMEMLIMIT, DefaultCollector.GOMEMLIMIT)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	switch {
	case o.Products < 1 || o.Products > maxProducts:
		return o, badInput("products is %d (want 1 to %d)", o.Products, maxProducts)
	case o.Items < 1 || o.Items > maxItems:
		return o, badInput("items is %d (want 1 to %d)", o.Items, maxItems)
	case o.Conns < 1 || o.Conns > 10_000:
		return o, badInput("conns is %d (want 1 to 10000)", o.Conns)
	case o.Rate < 0 || math.IsNaN(o.Rate) || o.Rate > 1e7:
		return o, badInput("rate is %v (want a number of requests a second above 0, at most 10 million)", o.Rate)
	case !(o.Share > 0 && o.Share <= 0.9):
		return o, badInput("share is %v (want a share of the naive service's capacity above 0, at most 0.9)", o.Share)
	case o.Rounds < 1 || o.Rounds > 1000:
		return o, badInput("rounds is %d (want 1 to 1000)", o.Rounds)
	case o.Block < 100*time.Millisecond || o.Block > time.Hour:
		return o, badInput("block is %v (want 100ms to 1h)", o.Block)
	case o.Warmup < 0 || o.Warmup > time.Hour:
		return o, badInput("warmup is %v (want 0 to 1h)", o.Warmup)
	}
	if err := o.Tuned.check(); err != nil {
		return o, err
	}
	return o, fits(o.Products, availableMemory())
}

// fits refuses more products than memory can hold; available is nil where that is not
// known.
func fits(products int, available *uint64) error {
	if available != nil && uint64(products)*bytesPerProduct > *available {
		return badInput("%d products need about %d MiB, and %d MiB are available (ask for fewer products)",
			products, products*bytesPerProduct>>20, *available>>20)
	}
	return nil
}

// check refuses what the runtime would not take, or would take for something else.
func (c Collector) check() error {
	if n, err := strconv.Atoi(c.GOGC); c.GOGC != "off" && (err != nil || n < 1 || n > 100_000) {
		return badInput("GOGC is %q (want off, or a percentage of 1 to 100000)", c.GOGC)
	}
	limited := c.GOMEMLIMIT != "off"
	if limited && memoryLimit(c.GOMEMLIMIT) <= 0 {
		return badInput("GOMEMLIMIT is %q (want off, or a size as in 512MiB)", c.GOMEMLIMIT)
	}
	if !limited && c.GOGC == "off" {
		return badInput("GOGC is off without a GOMEMLIMIT: nothing would ever be collected (set a limit)")
	}
	return nil
}

// memoryLimit reads a size as the runtime does; 0 if it is none.
func memoryLimit(text string) int64 {
	units := []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}
	for _, u := range units {
		if len(text) > len(u.suffix) && text[len(text)-len(u.suffix):] == u.suffix {
			n, err := strconv.ParseInt(text[:len(text)-len(u.suffix)], 10, 64)
			if err != nil || n < 1 || n > math.MaxInt64/u.bytes {
				return 0
			}
			return n * u.bytes
		}
	}
	return 0
}

// grace is how long replies are waited for when a block is over. What is late then is
// late by the server's fault, and shows as latency; it need not end the round.
const grace = 10 * time.Second

// plan is how a server of an address is driven.
func (o Options) plan(target load.Target, body []byte) load.Plan {
	return load.Plan{
		Targets: []load.Target{target}, Conns: o.Conns,
		Method: "POST", Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body,
		Arrivals: load.Poisson, Seed: o.Seed, Grace: grace,
	}
}
