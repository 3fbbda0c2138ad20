// Package peers puts other people's network engines on the same start line: gnet,
// netpoll, nbio, evio and fasthttp serve netbench's services behind the contract
// of package models, each as a program of its own.
//
// The programs are a Go module of their own below this package (engines/), so
// that no foreign goroutine, init function or dependency is in our servers and
// tests. [Build] compiles one when it is asked for; testenv starts it over the
// same control channel as any other server:
//
//	program, err := peers.Build(ctx, "gnet")
//	server, err := testenv.StartServer(ctx, testenv.ServerSpec{
//		Model: "gnet", Program: program, Service: "echo",
//	})
//
// Each engine has two names. The plain one runs with the loops, buffers and socket
// options of all contenders. The one with the suffix "-recommended" is configured
// as the engine's own documentation advises; it informs, and decides nothing.
package peers

import (
	"fmt"
	"slices"
	"strings"
)

// Recommended is the suffix of the row that is configured as the engine's
// documentation advises.
const Recommended = "-recommended"

// Engine is what there is to know about one of them.
type Engine struct {
	Name     string
	Module   string
	Version  string
	Services []string // base names of those that it runs, nil for all

	// Declared is what it cannot be given, or does otherwise than the contract
	// asks, one sentence each.
	Declared []string
}

var engines = []Engine{
	{Name: "gnet", Module: "github.com/panjf2000/gnet/v2", Version: "v2.9.8", Declared: reasons("gnet")},
	{Name: "netpoll", Module: "github.com/cloudwego/netpoll", Version: "v0.7.2", Declared: reasons("netpoll")},
	{Name: "nbio", Module: "github.com/lesismal/nbio", Version: "v1.5.12", Declared: reasons("nbio")},
	{Name: "evio", Module: "github.com/tidwall/evio", Version: "v1.0.8", Declared: reasons("evio")},
	{Name: "fasthttp", Module: "github.com/valyala/fasthttp", Version: "v1.62.0", Services: []string{"http"}, Declared: reasons("fasthttp")},
}

// Names returns the names of all peers, each engine before its recommended row.
func Names() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name, e.Name+Recommended)
	}
	return names
}

// Lookup returns the engine of a name.
func Lookup(name string) (Engine, error) {
	base := strings.TrimSuffix(name, Recommended)
	if i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == base }); i >= 0 {
		return engines[i], nil
	}
	return Engine{}, fmt.Errorf("peer %q is unknown (use %s)", name, strings.Join(Names(), ", "))
}

// Declared says what a peer cannot be given, or does otherwise than the contract
// asks; nil for an unknown name.
func Declared(name string) []string {
	e, err := Lookup(name)
	if err != nil {
		return nil
	}
	return slices.Clone(e.Declared)
}

// Versions says which version of which module a peer is, as go.mod would; "" for
// an unknown name.
func Versions(name string) string {
	e, err := Lookup(name)
	if err != nil {
		return ""
	}
	return e.Module + " " + e.Version
}
