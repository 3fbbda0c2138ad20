package zerocopy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The protocol of the file server: lines that end in a line feed, and bytes.
//
//	send WAY BYTES    is answered by "ok BYTES" and that many bytes of the file
//	report            is answered by "report " and a [Report] as JSON
//
// A request that cannot be met is answered by "error " and the reason, and the
// connection stays. A failure while bytes are sent closes it: the client misses bytes.
const (
	verbSend    = "send"
	verbReport  = "report"
	replyOK     = "ok"
	replyReport = "report"
	replyError  = "error"

	maxRequest = 128 // bytes of a request with its line feed
)

// request is what a client asks for.
type request struct {
	verb string
	way  Way
	n    int64 // bytes
}

// parseRequest reads a line without its end.
func parseRequest(line string) (request, error) {
	words := strings.Split(line, " ")
	switch {
	case len(words) == 1 && words[0] == verbReport:
		return request{verb: verbReport}, nil
	case len(words) == 3 && words[0] == verbSend:
		way, err := ParseWay(words[1])
		if err != nil {
			return request{}, err
		}
		n, err := strconv.ParseUint(words[2], 10, 63)
		if err != nil || n == 0 {
			return request{}, fmt.Errorf("%.40q is no number of bytes (want a whole number above zero)", words[2])
		}
		return request{verb: verbSend, way: way, n: int64(n)}, nil
	}
	return request{}, fmt.Errorf("unknown request %.40q (want \"send WAY BYTES\" or \"report\")", line)
}

// String is the line of a request, which parseRequest reads.
func (r request) String() string {
	if r.verb == verbSend {
		return fmt.Sprintf("%s %v %d", verbSend, r.way, r.n)
	}
	return r.verb
}

// reportLine is the answer to a request for a report.
func reportLine(r Report) (string, error) {
	text, err := json.Marshal(r)
	return replyReport + " " + string(text), err
}

// The slowest client that is served, and what an exchange may take beside that.
const (
	leastRate  = 64 << 10 // bytes a second
	grace      = 30 * time.Second
	maxAllowed = 24 * time.Hour
)

// allowed is the time that n bytes may take.
func allowed(n int64) time.Duration {
	seconds := min(float64(n)/leastRate, maxAllowed.Seconds())
	return grace + time.Duration(seconds*float64(time.Second))
}
