// Package conditions answers one question about a server that runs: under which
// effective conditions does it serve? A race is fair only if all contenders have
// the same, and what a program was told is no proof of what it does: a framework
// may switch keep-alive probes on, listen with another backlog or read into a
// buffer of another size than it was asked for.
//
// So nothing is asked of the server. [Of] connects to it, finds the accepted
// sockets in its processes, and reads their options through descriptors that it
// takes over from there. The size of a read is what the kernel's tracepoints see
// when a large block waits for the server. The number of loops is the number of
// epoll sets that the accepted sockets are in.
//
//	a, err := conditions.Of(ctx, first)
//	b, err := conditions.Of(ctx, second)
//	err = conditions.Judge(conditions.Compare(a, b), declared)
//
// What a contender cannot be given, or does otherwise by its nature, is declared
// with the reason, see [Declared]. A difference that is not declared is an error,
// and so is a declaration of one that is not there.
//
// TCP_QUICKACK is left out: it is no setting but what the kernel last guessed from
// the traffic.
//
// Needs Linux 5.14, and for the size of reads the right to watch tracepoints.
package conditions

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Conditions are those of one server. The tag of a field says what becomes of it
// in [Compare]: "compare" compares it always, "known" only if neither is the zero
// value, which stands for unknown, and a field without a tag is for information.
type Conditions struct {
	Model string // as the server calls itself

	// Of an accepted connection, after one exchange.
	NoDelay        bool   `conditions:"compare"` // TCP_NODELAY
	KeepAlive      bool   `conditions:"compare"` // SO_KEEPALIVE
	RecvBuffer     int    `conditions:"compare"` // SO_RCVBUF in bytes, 0 where the kernel tunes it
	SendBuffer     int    `conditions:"compare"` // SO_SNDBUF in bytes, 0 where the kernel tunes it
	Congestion     string `conditions:"compare"` // TCP_CONGESTION
	Linger         int    `conditions:"compare"` // SO_LINGER in seconds, -1 if off
	UserTimeout    int    `conditions:"compare"` // TCP_USER_TIMEOUT in ms, 0 if off
	BusyPoll       int    `conditions:"compare"` // SO_BUSY_POLL in µs, 0 if off
	NotSentLowMark int    `conditions:"compare"` // TCP_NOTSENT_LOWAT in bytes, 0 for the host's
	NonBlocking    bool   `conditions:"compare"` // O_NONBLOCK
	Protocol       string `conditions:"compare"` // "tcp" or "mptcp"

	// ReadSize is the most bytes that it takes by one read, up to [Block]; 0 is
	// unknown, and then NoReadSize says why.
	ReadSize   int `conditions:"known"`
	NoReadSize string

	// Of what it listens with.
	Listeners        int    `conditions:"compare"` // sockets on the address
	Backlog          int    `conditions:"compare"` // the smallest of them
	ReusePort        bool   `conditions:"compare"` // SO_REUSEPORT
	DeferAccept      bool   `conditions:"compare"` // TCP_DEFER_ACCEPT
	FastOpen         bool   `conditions:"compare"` // TCP_FASTOPEN
	ListenerProtocol string `conditions:"compare"` // "tcp" or "mptcp"

	// Loops is the number of places where its connections are waited for: epoll
	// sets with accepted connections, or else rings of io_uring. 0 is unknown.
	Loops int `conditions:"known"`

	CPUs       string `conditions:"compare"` // the set that it runs on, as in taskset -c
	GoMaxProcs int    `conditions:"known"`   // 0 if it is no Go program

	// For information, as each model has its own by its nature.
	Processes, Threads, EpollSets, Rings int
}

// Block is the largest ReadSize that is told from a larger one, in bytes. It fits
// into one segment of the loopback interface and into the first window.
const Block = 60_000

// Difference is a field in which two servers are not alike.
type Difference struct {
	Field string // of Conditions
	A, B  any
}

func (d Difference) String() string { return fmt.Sprintf("%s: %v against %v", d.Field, d.A, d.B) }

// Compare returns the differences between two servers, in the order of the fields.
// What is unknown of one of them is no difference.
func Compare(a, b Conditions) []Difference {
	var found []Difference
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		field := va.Type().Field(i)
		how := field.Tag.Get("conditions")
		x, y := va.Field(i), vb.Field(i)
		if how == "" || x.Equal(y) || how == "known" && (x.IsZero() || y.IsZero()) {
			continue
		}
		found = append(found, Difference{Field: field.Name, A: x.Interface(), B: y.Interface()})
	}
	return found
}

// Declared are the differences that a contender is known to have, by field, with
// the reason, which is printed with its results.
type Declared map[string]string

// Judge returns an error that names every difference that is not declared, and
// every declared one that was not found. It is nil if the declaration is exact.
func Judge(found []Difference, declared Declared) error {
	var wrong []string
	stale := maps.Clone(declared)
	for _, d := range found {
		if _, ok := declared[d.Field]; !ok {
			wrong = append(wrong, d.String()+" is not declared")
		}
		delete(stale, d.Field)
	}
	for _, field := range slices.Sorted(maps.Keys(stale)) {
		wrong = append(wrong, fmt.Sprintf("%s is declared to differ (%s) and does not", field, stale[field]))
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("conditions differ otherwise than declared: %s", strings.Join(wrong, "; "))
}
