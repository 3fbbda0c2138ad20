package models

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ServiceNames lists the services that [ParseService] knows, without the
// suffixes that each may have.
func ServiceNames() []string { return []string{"echo", "frame", "line", "http"} }

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
// in bytes. Clocks have no name: the service tells the time by time.Now.
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
