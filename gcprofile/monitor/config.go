package monitor

import (
	"fmt"
	"math"
	"time"

	"netbench/internal/sampling"
)

// Defaults of [Config].
const (
	DefaultHeap       = 500_000_000 // bytes
	DefaultGoroutines = 10_000
	DefaultPause      = 10 * time.Millisecond
	DefaultAllocRate  = 100_000_000 // bytes a second
	DefaultEvery      = 10 * time.Second
	DefaultRepeat     = 5 * time.Minute
	DefaultHysteresis = 0.1
	DefaultQueue      = 16 // alerts

	// Off switches a rule off, or, as Repeat or Hysteresis, what they do.
	Off = -1
)

// Config says what is too much. A zero field means its default; [Off] switches a
// threshold off.
type Config struct {
	Heap       int64         // most bytes of objects on the heap, dead ones that are not yet swept included
	Goroutines int           // most goroutines
	Pause      time.Duration // longest time that a collection may stop the world
	AllocRate  float64       // most bytes allocated a second

	// PauseQuantile is which pause of an interval is held against Pause, more than 0
	// and at most 1, which is the longest, and the default. A quantile q is judged
	// only in intervals of at least 10/(1-q) pauses: of fewer it is not known.
	PauseQuantile float64

	Every time.Duration // between samples, at least 1 ms

	// Repeat is how often an alert is repeated while its cause lasts; Off for never.
	Repeat time.Duration

	// Hysteresis is how far below its threshold a figure has to fall until its
	// alert is over, as a share of the threshold, less than 1; Off for not at all.
	Hysteresis float64

	// Queue is how many alerts wait for a reader before others are dropped.
	Queue int

	// Now is the clock; nil for [time.Now].
	Now func() time.Time
}

// ConfigError says which field of a [Config] cannot be.
type ConfigError struct {
	Field string
	Value any
	Want  string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("monitor: %s is %v (want %s)", e.Field, e.Value, e.Want)
}

// normalize fills defaults in. The error is a [*ConfigError].
func (c Config) normalize() (Config, error) {
	orDefault(&c.Heap, DefaultHeap)
	orDefault(&c.Goroutines, DefaultGoroutines)
	orDefault(&c.Pause, DefaultPause)
	orDefault(&c.AllocRate, DefaultAllocRate)
	orDefault(&c.PauseQuantile, 1)
	orDefault(&c.Every, DefaultEvery)
	orDefault(&c.Repeat, DefaultRepeat)
	orDefault(&c.Hysteresis, DefaultHysteresis)
	orDefault(&c.Queue, DefaultQueue)
	if c.Now == nil {
		c.Now = time.Now
	}
	const threshold = "more than 0, 0 for the default or -1 for none"
	switch {
	case c.Heap < Off:
		return c, &ConfigError{"Heap", c.Heap, threshold}
	case c.Goroutines < Off:
		return c, &ConfigError{"Goroutines", c.Goroutines, threshold}
	case c.Pause < Off:
		return c, &ConfigError{"Pause", c.Pause, threshold}
	case !(c.AllocRate > 0 || c.AllocRate == Off) || math.IsInf(c.AllocRate, 0):
		return c, &ConfigError{"AllocRate", c.AllocRate, threshold}
	case !(c.PauseQuantile > 0 && c.PauseQuantile <= 1):
		return c, &ConfigError{"PauseQuantile", c.PauseQuantile, "more than 0 and at most 1"}
	case c.Every < sampling.Least:
		return c, &ConfigError{"Every", c.Every, fmt.Sprintf("at least %v, or 0 for the default", sampling.Least)}
	case c.Repeat < Off:
		return c, &ConfigError{"Repeat", c.Repeat, threshold}
	case !(c.Hysteresis > 0 && c.Hysteresis < 1 || c.Hysteresis == Off):
		return c, &ConfigError{"Hysteresis", c.Hysteresis, "more than 0 and less than 1, 0 for the default or -1 for none"}
	case c.Queue < 0:
		return c, &ConfigError{"Queue", c.Queue, "1 or more, or 0 for the default"}
	}
	if c.Hysteresis == Off {
		c.Hysteresis = 0
	}
	return c, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
