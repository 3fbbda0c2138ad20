package peers

import "slices"

// Declaration is something that an engine cannot be given, or does otherwise than
// the contract asks.
type Declaration struct {
	// Rule is the rule of the conformance suite that fails for this reason, ""
	// if there is none. The engine's own test, in the nested module, fails if the
	// rule passes, and if one fails that is not here.
	Rule string

	// Reason is a sentence for the reader of a result.
	Reason string
}

// Declarations lists them for a name, those about rules first; nil for one that is
// unknown.
func Declarations(name string) []Declaration {
	e, err := Lookup(name)
	if err != nil {
		return nil
	}
	return slices.Clone(declared[e.Name])
}

// reasons is the text of an engine's declarations, each once.
func reasons(engine string) []string {
	var texts []string
	for _, d := range declared[engine] {
		if !slices.Contains(texts, d.Reason) {
			texts = append(texts, d.Reason)
		}
	}
	return texts
}

var declared = map[string][]Declaration{
	"gnet":     gnetCannot,
	"netpoll":  netpollCannot,
	"nbio":     nbioCannot,
	"evio":     evioCannot,
	"fasthttp": fasthttpCannot,
}

// What the engines cannot do, each text for the reader of a result.
const (
	noPause = "reads cannot be paused: what a peer that does not read owes grows without bound"

	endAtOnce = "a connection is closed as soon as its peer ends its direction, whatever is owed or in progress"

	acceptsAlways = "connections beyond MaxConns are closed, not left in the backlog: the engine accepts by itself"

	acceptEnds = "an accept that fails for want of descriptors ends the whole engine"
)

var gnetCannot = []Declaration{
	{"slow-reader", noPause},
	{"half-close", endAtOnce},
	{"half-close-pending", endAtOnce},
	{"limit-wait", acceptsAlways},
	{"accept-errors", acceptEnds},
	{"", "its read buffer is rounded up to a power of two of at least 1 KiB"},
	{"", "a loop beside the others accepts"},
}

var netpollCannot = []Declaration{
	{"slow-reader", noPause},
	{"half-close", endAtOnce},
	{"half-close-pending", endAtOnce},
	{"limit-wait", acceptsAlways},
	{"", "its read buffer is ReadBuffer at first and doubles, up to 8 MiB, each time that a read fills it"},
	{"", "handlers run in goroutines beside the loops, and a write blocks its handler"},
	{"", "a connection that its peer resets is not told from one that ends, if nothing was written"},
}

var nbioCannot = []Declaration{
	{"slow-reader", noPause},
	{"half-close", endAtOnce},
	{"half-close-pending", endAtOnce},
	{"", "a goroutine beside the loops accepts, and each connection's descriptor is duplicated"},
}

var evioCannot = []Declaration{
	{"slow-reader", "its read buffer is 64 KiB, whatever ReadBuffer says, so a peer that does not read may owe as much more than MaxPending"},
	{"half-close", endAtOnce},
	{"half-close-pending", endAtOnce},
	{"limit-wait", acceptsAlways},
	{"accept-errors", acceptEnds},
	{"", "a loop spins while a peer owes replies, does not read and goes on sending"},
	{"", "TCP_NODELAY and buffer sizes are set on its listener from outside, as it has no options for them"},
}

var fasthttpCannot = []Declaration{
	{"", "it parses and answers HTTP itself: no other service runs, the order of header fields is its own, and so is what it takes for malformed"},
	{"", "it has no loops: a goroutine from its pool for each connection"},
	{"", "a request's head has to fit into the read buffer, of 4 KiB by default, else it is 431"},
	{"", "when it shuts down, requests that wait in the backlog, have arrived in part or are pipelined behind others are not answered"},
	{"", "as recommended it has a listener for each loop, each of which may hold one connection more than MaxConns"},
	{"", "after it has closed, a goroutine of its pool sleeps on for up to 10 s"},
	{"", "work that blocks blocks the connection's own goroutine"},
}
