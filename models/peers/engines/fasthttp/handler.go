package main

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"netbench/models"
)

const (
	textPlain = "text/plain"
	octets    = "application/octet-stream"
)

// What models.HTTP answers.
var (
	hello = []byte("Hello, World!")
	about = []byte("netbench: a laboratory for Go network servers\n")

	pattern = func() []byte {
		b := make([]byte, models.HTTPBytesMax)
		for i := range b {
			b[i] = byte(i % 251)
		}
		return b
	}()
)

// handle answers the routes of models.HTTP.
func handle(ctx *fasthttp.RequestCtx) {
	path := ctx.URI().PathOriginal()
	reading := ctx.IsGet() || ctx.IsHead()
	switch {
	case string(path) == "/plaintext":
		answer(ctx, reading, "GET, HEAD", textPlain, hello)
	case string(path) == "/", len(path) == 0:
		answer(ctx, reading, "GET, HEAD", textPlain, about)
	case string(path) == "/echo":
		if !ctx.IsPost() {
			refuse(ctx, fasthttp.StatusMethodNotAllowed, "POST")
			return
		}
		ctx.SetContentType(octets)
		ctx.SetBody(ctx.Request.Body())
	case bytes.HasPrefix(path, []byte("/bytes/")):
		n, ok := count(path[len("/bytes/"):])
		if !ok {
			refuse(ctx, fasthttp.StatusNotFound, "")
			return
		}
		answer(ctx, reading, "GET, HEAD", octets, pattern[:n])
	default:
		refuse(ctx, fasthttp.StatusNotFound, "")
	}
}

// answer sets a body that nobody changes.
func answer(ctx *fasthttp.RequestCtx, allowed bool, allow, kind string, body []byte) {
	if !allowed {
		refuse(ctx, fasthttp.StatusMethodNotAllowed, allow)
		return
	}
	ctx.SetContentType(kind)
	ctx.Response.SetBodyRaw(body)
}

func refuse(ctx *fasthttp.RequestCtx, status int, allow string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(textPlain)
	if allow != "" {
		ctx.Response.Header.Set("Allow", allow)
	}
	ctx.SetBodyString(fasthttp.StatusMessage(status) + "\n")
}

// count reads a number of 0 to models.HTTPBytesMax.
func count(digits []byte) (int, bool) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil && n <= models.HTTPBytesMax
}

// split returns the HTTP service inside s, and what is around it: a service that
// costs each request what +spin and +wait ask for, nil for nothing.
func split(s models.Service) (models.HTTP, models.Service, error) {
	switch s := s.(type) {
	case models.HTTP:
		return s, nil, nil
	case models.Spin:
		inner, around, err := split(s.Service)
		s.Service = orEcho(around)
		return inner, s, err
	case models.Waiting:
		inner, around, err := split(s.Service)
		s.Service = orEcho(around)
		return inner, s, err
	}
	return models.HTTP{}, nil, fmt.Errorf("fasthttp: service %q is not http (fasthttp parses HTTP by itself and runs no other service)", s.Name())
}

func orEcho(s models.Service) models.Service {
	if s == nil {
		return models.Echo{}
	}
	return s
}

// cost makes each request cost what a service around http asks for, by letting a
// session of it answer one byte.
func cost(around models.Service, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	if around == nil {
		return next
	}
	type payer struct {
		session models.Session
		in, out []byte
	}
	payers := sync.Pool{New: func() any {
		return &payer{session: around.Open(), in: make([]byte, 1), out: make([]byte, 0, 1)}
	}}
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		p := payers.Get().(*payer)
		if _, _, then := p.session.Step(p.in, p.out); then.Op == models.Block {
			p.session.(models.Blocker).Work(p.in, p.out)
		}
		payers.Put(p)
	}
}
