package models

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// builtin are the services of this package.
var builtin = []string{"echo", "frame", "line", "http"}

// ServiceNames lists the services that [ParseService] knows, without the
// suffixes that each may have: those of this package, then registered ones.
func ServiceNames() []string {
	registered.Lock()
	defer registered.Unlock()
	names := slices.Clone(builtin)
	for name := range registered.services {
		names = append(names, name)
	}
	slices.Sort(names[len(builtin):])
	return names
}

// Configurable is a service of another package with options of its own, which
// follow its name in the form +key=value.
type Configurable interface {
	Service

	// With returns the service with an option set, or an error in one line that
	// says what would be valid.
	With(key, value string) (Service, error)
}

// registered are the services of other packages, by name.
var registered struct {
	sync.Mutex
	services map[string]func() Configurable
}

// RegisterService makes [ParseService] know a service of another package, which open
// returns without options. Call it first in main or TestMain, before testenv.Main, so
// that a process that is a server knows the service too. A second call with the same
// name replaces the first. It panics if the name is one of this package's, or has a +.
func RegisterService(name string, open func() Configurable) {
	if slices.Contains(builtin, name) || name == "" || strings.Contains(name, "+") {
		panic(fmt.Sprintf("models.RegisterService: the name %q cannot be given (it is taken, empty or has a +)", name))
	}
	registered.Lock()
	defer registered.Unlock()
	if registered.services == nil {
		registered.services = map[string]func() Configurable{}
	}
	registered.services[name] = open
}

// registeredService is the service of that name without options, nil if there is none.
func registeredService(name string) Configurable {
	registered.Lock()
	open := registered.services[name]
	registered.Unlock()
	if open == nil {
		return nil
	}
	return open()
}

// ParseService returns the service of a name, as users type it and as
// [Service.Name] prints it. A name may go on with any number of
//
//	+spin=N          each answer costs N rounds of arithmetic more, see Spin
//	+wait=D          each answer waits for D, for instance 1ms, see Waiting
//
// which apply from left to right, and directly after the service with
//
//	+max=N           the longest message of frame and line
//	+line=N, +header=N, +body=N    the limits of http
//
// in bytes, and the options of a service that was registered ([RegisterService]).
// Clocks have no name: the service tells the time by time.Now.
func ParseService(name string) (Service, error) {
	base, rest, more := strings.Cut(name, "+")
	var s Service
	switch base {
	case "echo":
		s = Echo{}
	case "frame":
		s = Frame{}
	case "line":
		s = Line{}
	case "http":
		s = HTTP{}
	default:
		if own := registeredService(base); own != nil {
			s = own
			break
		}
		return nil, fmt.Errorf("unknown service %q (want %s, and after it +spin=N or +wait=D, for instance echo+spin=500)",
			name, strings.Join(ServiceNames(), ", "))
	}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, "+")
		var err error
		if s, err = withOption(s, option); err != nil {
			return nil, fmt.Errorf("service %q: %w", name, err)
		}
	}
	return s, nil
}

// withOption returns s as an option of its name asks.
func withOption(s Service, option string) (Service, error) {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "spin":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("spin is %q (want a number of rounds from 0 on)", value)
		}
		return Spin{Service: s, Iterations: n}, nil
	case "wait":
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("wait is %q (want a time from 0 on, for instance 1ms)", value)
		}
		return Waiting{Service: s, Delay: d}, nil
	}
	if own, ok := s.(Configurable); ok {
		return own.With(key, value)
	}
	var limit *int
	result := func() Service { return s }
	known := "spin, wait"
	switch base := s.(type) {
	case Frame:
		known += ", max"
		if key == "max" {
			limit, result = &base.Max, func() Service { return base }
		}
	case Line:
		known += ", max"
		if key == "max" {
			limit, result = &base.Max, func() Service { return base }
		}
	case HTTP:
		known += ", line, header, body"
		result = func() Service { return base }
		switch key {
		case "line":
			limit = &base.MaxLine
		case "header":
			limit = &base.MaxHeader
		case "body":
			limit = &base.MaxBody
		}
	}
	if limit == nil {
		return nil, fmt.Errorf("option %q is unknown here (want %s)", key, known)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 1<<30 {
		return nil, fmt.Errorf("%s is %q (want 1 to %d bytes)", key, value, 1<<30)
	}
	*limit = n
	return result(), nil
}
