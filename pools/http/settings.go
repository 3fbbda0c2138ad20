package httppool

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"time"
)

// mostConns bounds every number of connections: one address has no more ports
// for the connections to one other.
const mostConns = 1 << 16

// Settings are those of a transport and its client. Make them with [Recommended]
// and change what is to be different: the zero value is refused, as net/http
// takes some of its zeros for "no limit" and one of them for 2.
type Settings struct {
	// MaxIdleConns is how many connections to all hosts together are kept while
	// they are idle; 0 for no limit. Beyond it the one that was idle longest is
	// closed.
	MaxIdleConns int

	// MaxIdleConnsPerHost is how many are kept for one host, from 1 on. What is
	// given back beyond it is closed, unless a request waits for it. Inert above
	// MaxConnsPerHost and above MaxIdleConns.
	MaxIdleConnsPerHost int

	// MaxConnsPerHost is how many one host may have, dialled, in use and idle
	// ones; 0 for no limit. Requests beyond it wait. HTTP/2 needs one for many
	// requests, so it hardly matters there.
	MaxConnsPerHost int

	// IdleConnTimeout is how long a connection may be idle; 0 for no limit. It
	// should be below what the server allows, as a request that is sent while the
	// server closes the connection fails or has to be repeated.
	IdleConnTimeout time.Duration

	DialTimeout           time.Duration // of a TCP connection, above 0
	TLSHandshakeTimeout   time.Duration // above 0
	ResponseHeaderTimeout time.Duration // from the end of the request to the reply's head; 0 for none
	ExpectContinueTimeout time.Duration // how long "Expect: 100-continue" waits before the body is sent all the same; 0 sends it at once

	// Timeout bounds a whole request, from waiting for a connection to the end of
	// the body, redirects included; 0 for none, as replies without an end need.
	Timeout time.Duration

	// KeepAlive is the time between TCP's probes of an idle connection; 0 for the
	// system's of net.Dialer, 15 s, and below 0 for none.
	KeepAlive time.Duration

	// HTTP2 offers HTTP/2 to servers that speak TLS.
	HTTP2 bool

	// DisableKeepAlives closes each connection after one request. It makes every
	// setting of idle connections inert.
	DisableKeepAlives bool

	// DisableCompression asks for no gzip, which the transport does otherwise
	// unless a request asks itself. Unpacking costs the client CPU time.
	DisableCompression bool

	// TLS is used by TLS connections; nil for Go's defaults. It is cloned. Its
	// ClientSessionCache makes a repeated handshake cheaper.
	TLS *tls.Config

	// Proxy is as in [nethttp.Transport]; nil for none.
	Proxy func(*nethttp.Request) (*url.URL, error)

	// Dial opens a connection; nil for a [net.Dialer] with DialTimeout and
	// KeepAlive, which a function of yours does not heed by itself: its context
	// ends after DialTimeout.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Recommended are settings for many requests at once to few hosts: up to 50
// connections to a host, of which 20 stay when they rest, and an end to
// everything that could last for ever.
func Recommended() Settings {
	return Settings{
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   20,
		MaxConnsPerHost:       50,
		IdleConnTimeout:       90 * time.Second,
		DialTimeout:           10 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		ExpectContinueTimeout: time.Second,
		Timeout:               30 * time.Second,
		KeepAlive:             30 * time.Second,
		HTTP2:                 true,
		Proxy:                 nethttp.ProxyFromEnvironment,
	}
}

// A SettingError is a setting that is not permitted.
type SettingError struct {
	Field string // of Settings or Limits
	Value any    // what was asked
	Want  string // what is permitted
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("http pool: %s is %v (want %s)", e.Field, e.Value, e.Want)
}

// Validate returns a [*SettingError] for the first setting that is not permitted.
func (s Settings) Validate() error {
	for _, n := range []struct {
		field string
		value int
		least int
		want  string
	}{
		{"MaxIdleConns", s.MaxIdleConns, 0, "0 for no limit, or up to %d"},
		{"MaxIdleConnsPerHost", s.MaxIdleConnsPerHost, 1, "1 to %d; net/http would take 0 for 2, and DisableKeepAlives keeps none"},
		{"MaxConnsPerHost", s.MaxConnsPerHost, 0, "0 for no limit, or up to %d"},
	} {
		if n.value < n.least || n.value > mostConns {
			return &SettingError{n.field, n.value, fmt.Sprintf(n.want, mostConns)}
		}
	}
	for _, d := range []struct {
		field string
		value time.Duration
		none  string // what 0 means; "" if it is not permitted
	}{
		{"IdleConnTimeout", s.IdleConnTimeout, "no limit"},
		{"DialTimeout", s.DialTimeout, ""},
		{"TLSHandshakeTimeout", s.TLSHandshakeTimeout, ""},
		{"ResponseHeaderTimeout", s.ResponseHeaderTimeout, "none"},
		{"ExpectContinueTimeout", s.ExpectContinueTimeout, "no waiting"},
		{"Timeout", s.Timeout, "none"},
	} {
		switch {
		case d.value > 0:
		case d.none == "":
			return &SettingError{d.field, d.value, "a time above 0"}
		case d.value < 0:
			return &SettingError{d.field, d.value, "a time above 0, or 0 for " + d.none}
		}
	}
	return nil
}

// Inert names the settings that do nothing beside the others, each with the
// reason; nil if all count.
func (s Settings) Inert() []string {
	var inert []string
	say := func(format string, args ...any) { inert = append(inert, fmt.Sprintf(format, args...)) }
	if s.DisableKeepAlives {
		say("MaxIdleConns, MaxIdleConnsPerHost, IdleConnTimeout: DisableKeepAlives lets no connection become idle")
	} else {
		if s.MaxConnsPerHost > 0 && s.MaxIdleConnsPerHost > s.MaxConnsPerHost {
			say("MaxIdleConnsPerHost %d: MaxConnsPerHost lets a host have %d in all", s.MaxIdleConnsPerHost, s.MaxConnsPerHost)
		}
		if s.MaxIdleConns > 0 && s.MaxIdleConnsPerHost > s.MaxIdleConns {
			say("MaxIdleConnsPerHost %d: MaxIdleConns keeps %d for all hosts", s.MaxIdleConnsPerHost, s.MaxIdleConns)
		}
	}
	if s.Timeout > 0 {
		for _, d := range []struct {
			field string
			value time.Duration
		}{
			{"DialTimeout", s.DialTimeout}, {"TLSHandshakeTimeout", s.TLSHandshakeTimeout},
			{"ResponseHeaderTimeout", s.ResponseHeaderTimeout}, {"ExpectContinueTimeout", s.ExpectContinueTimeout},
		} {
			if d.value > s.Timeout {
				say("%s %v: Timeout ends a request after %v", d.field, d.value, s.Timeout)
			}
		}
	}
	return inert
}

// Transport makes a plain transport of the settings, without counts and without
// Timeout, which is the client's.
func (s Settings) Transport() (*nethttp.Transport, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: s.DialTimeout, KeepAlive: s.KeepAlive}).DialContext
	if own := s.Dial; own != nil {
		dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s.DialTimeout)
			defer cancel()
			return own(ctx, network, addr)
		}
	}
	return &nethttp.Transport{
		Proxy:                 s.Proxy,
		DialContext:           dial,
		TLSClientConfig:       s.TLS.Clone(),
		TLSHandshakeTimeout:   s.TLSHandshakeTimeout,
		DisableKeepAlives:     s.DisableKeepAlives,
		DisableCompression:    s.DisableCompression,
		MaxIdleConns:          s.MaxIdleConns,
		MaxIdleConnsPerHost:   s.MaxIdleConnsPerHost,
		MaxConnsPerHost:       s.MaxConnsPerHost,
		IdleConnTimeout:       s.IdleConnTimeout,
		ResponseHeaderTimeout: s.ResponseHeaderTimeout,
		ExpectContinueTimeout: s.ExpectContinueTimeout,
		ForceAttemptHTTP2:     s.HTTP2, // a dialler of its own would switch it off
	}, nil
}
