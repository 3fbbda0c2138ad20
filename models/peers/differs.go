package peers

// Differs returns the conditions, by field of package conditions, in which a peer
// is known not to serve as the other contenders do, with the reason; nil if there
// is none.
func Differs(name string) map[string]string { return differs[name] }

// Reasons of the rows that are configured as an engine's documentation advises.
const advised = "as its documentation advises"

var differs = map[string]map[string]string{
	"gnet" + Recommended:     {"ReadSize": advised},
	"netpoll":                {"ReadSize": "its buffer doubles when a read has filled it"},
	"netpoll" + Recommended:  {"ReadSize": "its buffer doubles when a read has filled it"},
	"nbio" + Recommended:     {"ReadSize": advised},
	"evio":                   {"ReadSize": "its read buffer is 64 KiB and cannot be changed"},
	"evio" + Recommended:     {"ReadSize": "its read buffer is 64 KiB and cannot be changed"},
	"fasthttp" + Recommended: {"ReusePort": advised},
}
