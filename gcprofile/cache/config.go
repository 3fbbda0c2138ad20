package cache

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Defaults of [Config].
const (
	DefaultMaxBytes   = 10 << 20
	DefaultTTL        = time.Hour
	DefaultSweepEvery = 5 * time.Minute
)

// NoLimit, as a [Config.TTL] or the time of [Cache.SetFor], is for ever; as a
// [Config.SweepEvery] it means that nothing sweeps by itself.
const NoLimit time.Duration = -1

// Config is what a cache can be told. Only Cost is required.
type Config[K comparable, V any] struct {
	// MaxBytes bounds the sum of the costs of all entries, at least 1; 0 means 10 MiB.
	MaxBytes int64

	// Cost is the number of bytes that an entry is charged, at least 1. It is called
	// once for each Set, without a lock held; what it said counts until the entry
	// leaves, so a value must not grow afterwards. [Overhead] is what to add to the
	// bytes of key and value if the bound is to be one on memory.
	Cost func(key K, value V) int64

	// TTL is how long an entry is returned after it was written; reading does not
	// prolong it. At least 1 ns; 0 means one hour, NoLimit for ever.
	TTL time.Duration

	// SweepEvery is how often expired entries that nobody asks for are removed. At
	// least 1 ms; 0 means 5 minutes, NoLimit never: [Cache.Sweep] still does. It is a
	// matter of memory only, since an expired entry is never returned. It passes by
	// the runtime's clock, whatever Now says.
	SweepEvery time.Duration

	// OnEvict, if not nil, is told of every entry that leaves, and why. It is called
	// after the cache was unlocked, by the goroutine whose call removed the entry (for
	// sweeps, one of the cache's own), so it may use the cache, and Close it. Since
	// others go on meanwhile, the key may have a new value by then.
	OnEvict func(key K, value V, why Reason)

	// Now is the clock; nil means the monotonic clock of the runtime. It is called
	// with the cache locked, and must not use it. A clock that is set back does no
	// harm: the cache's time is the sum of the clock's steps forward, so what has
	// expired stays expired, and time goes on from where it was.
	Now func() time.Time
}

// Reason is why an entry left.
type Reason uint8

const (
	Evicted  Reason = iota // room was needed, and it was used least recently
	Expired                // its time was over
	Replaced               // its key was written again
	Refused                // its key was written again, but the new value was refused
	Deleted                // by Delete, Clear or Close
)

func (r Reason) String() string {
	names := [...]string{"evicted", "expired", "replaced", "refused", "deleted"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Why an entry is refused. Test with [errors.Is].
var (
	ErrTooLarge = errors.New("larger than the whole cache")
	ErrCost     = errors.New("cost below 1")
	ErrTTL      = errors.New("time to live not above 0")
	ErrKey      = errors.New("key is not equal to itself")
	ErrClosed   = errors.New("cache closed")
)

// check returns the configuration with its defaults.
func (c Config[K, V]) check() (Config[K, V], error) {
	bad := func(field string, value any, want string) (Config[K, V], error) {
		return c, fmt.Errorf("cache: Config.%s is %v (want %s)", field, value, want)
	}
	switch {
	case c.Cost == nil:
		return bad("Cost", "nil", "a function that tells the bytes of an entry")
	case c.MaxBytes < 0:
		return bad("MaxBytes", c.MaxBytes, "at least 1, or 0 for 10 MiB")
	case c.TTL < 0 && c.TTL != NoLimit:
		return bad("TTL", c.TTL, "at least 1ns, 0 for one hour, or NoLimit")
	case c.SweepEvery != 0 && c.SweepEvery != NoLimit && c.SweepEvery < time.Millisecond:
		return bad("SweepEvery", c.SweepEvery, "at least 1ms, 0 for 5 minutes, or NoLimit")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = DefaultSweepEvery
	}
	return c, nil
}

// never is when an entry expires that does not.
const never = math.MaxInt64

// now is the time since the cache was made, in nanoseconds. The cache is locked.
func (c *Cache[K, V]) now() int64 {
	if c.config.Now == nil {
		return int64(time.Since(c.made))
	}
	reading := int64(c.config.Now().Sub(c.made))
	if reading > c.reading {
		// Unsigned, as the distance of two int64 may not be one.
		step := uint64(reading) - uint64(c.reading)
		c.elapsed += int64(min(step, uint64(never-1-c.elapsed)))
	}
	c.reading = reading
	return c.elapsed
}

// after is a time that much after now.
func after(now int64, ttl time.Duration) int64 {
	if ttl == NoLimit || int64(ttl) > never-now {
		return never
	}
	return now + int64(ttl)
}
