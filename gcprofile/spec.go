package gcprofile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrInput is wrapped by errors that are the caller's: bad values, or a heap that does
// not fit into this host.
var ErrInput = errors.New("bad input")

// inputError is an error in one line that wraps [ErrInput] without naming it.
type inputError struct{ error }

func (e inputError) Is(target error) bool { return target == ErrInput }
func (e inputError) Unwrap() error        { return e.error }

func badInput(format string, args ...any) error { return inputError{fmt.Errorf(format, args...)} }

// Off is GOGC=off.
const Off = -1

// maxGOGC is far above any that is of use, and far below those that overflow.
const maxGOGC = 100_000

// Setting is what the collector is told.
type Setting struct {
	// GOGC is the growth of the heap, in percent of what is live, at which a
	// collection ends; 0 means the runtime's default, 100; Off for none.
	GOGC int `json:"gogc"`

	// Limit is GOMEMLIMIT in bytes; 0 for none.
	Limit int64 `json:"limit,omitempty"`
}

func (s Setting) gogc() string {
	if s.GOGC == Off {
		return "off"
	}
	return strconv.Itoa(cmp.Or(s.GOGC, 100))
}

func (s Setting) limit() string {
	if s.Limit == 0 {
		return "off"
	}
	return strconv.FormatInt(s.Limit, 10)
}

// String is the setting as a shell takes it: "GOGC=off GOMEMLIMIT=320MiB".
func (s Setting) String() string {
	text := "GOGC=" + s.gogc()
	if s.Limit > 0 {
		text += " GOMEMLIMIT=" + FormatSize(s.Limit)
	}
	return text
}

// What limits are rounded to that are given as a multiple of the live set: so that they
// are easy to read, and still within 4 % of what was asked for.
const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20

	// fineBelow is the live set below which limits are rounded to KiB.
	fineBelow = 16 * mebibyte
)

// ParseSetting reads "100", "off@1.5" or "400@512MiB": GOGC, and after an @ the limit,
// a size or a multiple of the live set, which is rounded to MiB, or to KiB if the live
// set is less than 16 MiB.
func ParseSetting(text string, live int64) (Setting, error) {
	gogc, limit, limited := strings.Cut(strings.TrimSpace(text), "@")
	var s Setting
	if gogc == "off" {
		s.GOGC = Off
	} else if n, err := strconv.Atoi(gogc); err != nil || n < 1 || n > maxGOGC {
		return s, badInput("setting %q: GOGC is %q (want 1 to %d percent, or off)", text, gogc, maxGOGC)
	} else {
		s.GOGC = n
	}
	if !limited {
		return s, nil
	}
	if times, err := strconv.ParseFloat(limit, 64); err == nil {
		if live == 0 {
			return s, badInput("setting %q: a limit of %v times an empty live set is none (give it in bytes, for instance 64MiB)", text, times)
		}
		if !(times > 0 && times <= 1000) {
			return s, badInput("setting %q: the limit is %q times the live set (want 1 to 1000)", text, limit)
		}
		unit := float64(mebibyte)
		if live < fineBelow {
			unit = kibibyte
		}
		// At least one: a limit that rounds to none would be none.
		s.Limit = int64(unit * max(1, math.Round(times*float64(live)/unit)))
		return s, nil
	}
	n, err := ParseSize(limit)
	if err != nil || n == 0 {
		return s, badInput("setting %q: the limit is %q (want a size such as 512MiB, or how many times the live set)", text, limit)
	}
	s.Limit = n
	return s, nil
}

// DefaultSettings are those that are compared unless others are given, as ParseSetting
// takes them; without a live set the ones with a limit are left out.
func DefaultSettings(live int64) []Setting {
	texts := []string{"50", "100", "200", "400"}
	if live > 0 {
		texts = append(texts, "off@1.2", "off@1.5", "off@2")
	}
	all := make([]Setting, len(texts))
	for i, text := range texts {
		all[i], _ = ParseSetting(text, live) // they are good
	}
	return all
}

// Spec says which server to start.
type Spec struct {
	Model   string  `json:"model"`   // a key of the factories given to testenv.Main; "" means goroutine
	Live    int64   `json:"live"`    // bytes of the live set, 0 to MaxLive
	Objects Objects `json:"objects"` // "" means SmallObjects
	Alloc   Alloc   `json:"alloc"`   // "" means AllocNone

	// GOGC and MemLimit are those of a [Setting].
	GOGC     int   `json:"gogc"`
	MemLimit int64 `json:"mem_limit,omitempty"`
}

// Setting is the collector's part of the specification.
func (s Spec) Setting() Setting { return Setting{s.GOGC, s.MemLimit} }

// With returns the specification with another setting.
func (s Spec) With(set Setting) Spec {
	s.GOGC, s.MemLimit = set.GOGC, set.Limit
	return s
}

func (s Spec) withDefaults() Spec {
	s.Model = cmp.Or(s.Model, "goroutine")
	s.Objects = cmp.Or(s.Objects, SmallObjects)
	s.Alloc = cmp.Or(s.Alloc, AllocNone)
	s.GOGC = cmp.Or(s.GOGC, 100)
	return s
}

// service is the name of the service.
func (s Spec) service() string { return NewHeap(s.Live, s.Objects, s.Alloc).Name() }

// PeakHeap is about how large the heap becomes, bytes: what the limit permits, or what
// GOGC lets the live set grow to, whichever is less. The runtime lets every heap grow
// to 4 MiB.
func (s Spec) PeakHeap() int64 {
	peak := int64(math.MaxInt64)
	if s.GOGC != Off {
		peak = max(4<<20, s.Live+s.Live/100*int64(cmp.Or(s.GOGC, 100)))
	}
	if s.MemLimit > 0 {
		peak = min(peak, s.MemLimit)
	}
	return max(peak, s.Live)
}

// Check returns an error that wraps [ErrInput] for what cannot be started, in one
// line, before anything is allocated. host tells how much memory there is.
func (s Spec) Check(host Host) error {
	s = s.withDefaults()
	if s.Live < 0 || s.Live > MaxLive {
		return badInput("live is %d bytes (want 0 to %s)", s.Live, FormatSize(MaxLive))
	}
	if _, err := parseObjects(string(s.Objects)); err != nil {
		return badInput("%w", err)
	}
	if err := s.Alloc.Check(); err != nil {
		return badInput("%w", err)
	}
	if err := host.fits(s.Live); err != nil {
		return badInput("live set of %s: %w", FormatSize(s.Live), err)
	}
	switch {
	case s.GOGC < Off || s.GOGC > maxGOGC:
		return badInput("GOGC is %d (want 1 to %d percent, 0 for the default, or Off)", s.GOGC, maxGOGC)
	case s.MemLimit < 0:
		return badInput("the memory limit is %d bytes (want 0 for none, or more than the live set)", s.MemLimit)
	case s.MemLimit > 0 && s.MemLimit <= s.Live:
		return badInput("a memory limit of %s is not above the live set of %s (collections would follow each other and free nothing; give at least 1.2 times the live set)",
			roundSize(float64(s.MemLimit)), roundSize(float64(s.Live)))
	case s.GOGC == Off && s.MemLimit == 0:
		return badInput("GOGC=off without a memory limit never collects, and memory grows until the process is killed (add a limit, for instance off@1.5)")
	}
	if err := host.fits(s.PeakHeap()); err != nil {
		return badInput("%s with a live set of %s: %w", s.Setting(), FormatSize(s.Live), err)
	}
	return nil
}

// A limit should be at least spiralMargin times the live set, and runtimeOwn more. Below
// that there is hardly any room for garbage, as the runtime's own memory counts too: a
// server without a live set has mapped 5.4 MiB after a collection, one with 16 MiB 22.3,
// one with 64 MiB 73.2 (Runtime.Mapped, Go 1.26, linux/amd64).
const (
	spiralMargin = 1.1
	runtimeOwn   = 5 * mebibyte
)

// Warning says what is likely to go wrong with the specification; "" if nothing is.
func (s Spec) Warning() string {
	needed := spiralMargin*float64(s.Live) + runtimeOwn
	if s.MemLimit == 0 || float64(s.MemLimit) >= needed {
		return ""
	}
	near := "without a live set"
	if s.Live > 0 {
		near = fmt.Sprintf("is %.2f times the live set of %s", float64(s.MemLimit)/float64(s.Live), FormatSize(s.Live))
	}
	return fmt.Sprintf("death spiral ahead: %s %s, and below %s (%.1f times the live set, and %s of the runtime's own) nearly all CPU time that the runtime permits goes into collections (raise the limit)",
		s.Setting(), near, roundSize(needed), spiralMargin, FormatSize(runtimeOwn))
}
