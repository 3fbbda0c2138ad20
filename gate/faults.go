package gate

import (
	"fmt"
	"slices"

	"github.com/aclements/go-moremath/stats"

	"netbench/load"
)

// faults counts the rounds in which each arm failed: it died or lost a connection,
// completed no request though the other did, or refused requests as rules say in
// refuses.
func (t *track) faults(rules Rules) (n [2]int) {
	refuses := [2]bool{t.refuses(0, rules), t.refuses(1, rules)}
	for _, r := range t.rounds {
		for arm, name := range t.names {
			if slices.Contains(r.Faulty, name) || silent(r, arm) || refuses[arm] && refused(r, arm) > 0 {
				n[arm]++
			}
		}
	}
	return n
}

// silent tells whether an arm completed no request in a round that counts, and the
// other some.
func silent(r *load.Round, arm int) bool {
	if r.Invalid != "" || r.Samples[arm] == nil || r.Samples[1-arm] == nil || r.Samples[arm].Result == nil || r.Samples[1-arm].Result == nil {
		return false
	}
	return r.Samples[arm].Requests == 0 && r.Samples[1-arm].Requests > 0
}

// refused is the number of replies with an HTTP status of 400 or above in a round
// that counts.
func refused(r *load.Round, arm int) int64 {
	if s := r.Samples[arm]; r.Invalid == "" && s != nil && s.Result != nil {
		return s.Errors[load.StatusError.String()]
	}
	return 0
}

// refuses tells whether an arm refuses requests more than the other does: in some
// round where the other does so in none at all, or, where both do now and then, at
// least twice as large a share of them, and more by the signed rank test over the
// rounds.
func (t *track) refuses(arm int, rules Rules) bool {
	var shares [2][]float64
	for _, r := range t.rounds {
		if r.Invalid != "" || r.Samples[0] == nil || r.Samples[1] == nil || r.Samples[0].Result == nil || r.Samples[1].Result == nil {
			continue
		}
		for i, s := range r.Samples {
			n := float64(refused(r, i))
			share := 0.0
			if n > 0 {
				share = n / (n + float64(s.Requests))
			}
			shares[i] = append(shares[i], share)
		}
	}
	if len(shares[0]) == 0 {
		return false
	}
	mine, others := stats.Mean(shares[arm]), stats.Mean(shares[1-arm])
	switch {
	case mine == 0:
		return false
	case others == 0:
		return true
	case mine < 2*others:
		return false
	}
	more := make([]float64, len(shares[arm]))
	for i := range more {
		more[i] = shares[arm][i] - shares[1-arm][i]
	}
	return SignedRank(more) <= rules.Alpha
}

// firstFault is why the first round does not count that does not because of an arm,
// or because of whatever if name is "".
func (t *track) firstFault(name string) string {
	arm := slices.Index(t.names[:], name)
	for _, r := range t.rounds {
		switch {
		case name == "" && r.Invalid != "" || slices.Contains(r.Faulty, name):
			return r.Invalid
		case arm < 0:
		case silent(r, arm):
			return fmt.Sprintf("%s completed no request, the other %d", name, r.Samples[1-arm].Requests)
		case refused(r, arm) > 0:
			return fmt.Sprintf("%s: %d replies had a status of 400 or above", name, refused(r, arm))
		}
	}
	return ""
}
