package race

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"netbench/load"
	"netbench/testenv"
)

// doubtRates says over how many rounds rates are compared, where that is not all.
func (r *Report) doubtRates() {
	if r.State == Paced {
		r.because("rates are not compared: the rate is the generator's")
		return
	}
	for i, name := range r.Comparison.Names {
		n, least := 0, 1.0
		for _, round := range r.Comparison.Rounds {
			if round.Invalid != "" {
				continue
			}
			s := round.Samples[i]
			if s.Saturated() {
				n++
			} else if s.ServerCPU != nil {
				least = min(least, *s.ServerCPU)
			}
		}
		if n < r.RoundsCounted {
			r.because("the rate of %s tells of it in %d of %d rounds: in the others it used less of its CPUs than counts as busy (once %.1f %%)", name, n, r.RoundsCounted, 100*least)
		}
	}
}

// doubts notes, once for each contender, why its CPU time is absent, and in the
// paced state its latency: a closed loop that saturates has no valid one.
func (r *Report) doubts(s *load.Sample) {
	if s.Valid.CPU && (s.Valid.Latency || r.State == Saturated) {
		return
	}
	for _, why := range s.Reasons {
		what, _, _ := strings.Cut(why, ": ") // for instance "latency" or "rate, latency, cpu"
		matters := what == "all" || strings.Contains(what, "cpu") || strings.Contains(what, "latency") && r.State == Paced
		about := s.Name + ": " + what + ": "
		if matters && !slices.ContainsFunc(r.Reasons, func(old string) bool { return strings.HasPrefix(old, about) }) {
			r.because("%s: %s", s.Name, why)
		}
	}
}

// doubtLatencies says over how many rounds latencies are, where that is not all:
// those of two contenders may be of different rounds.
func (r *Report) doubtLatencies() {
	var fewer grouped
	for i, name := range r.Comparison.Names {
		n := 0
		for _, round := range r.Comparison.Rounds {
			if round.Invalid == "" && round.Samples[i].Valid.Latency {
				n++
			}
		}
		if n < r.RoundsCounted {
			fewer.add(name, fmt.Sprintf("%d of %d rounds", n, r.RoundsCounted))
		}
	}
	var parts []string
	for _, g := range fewer {
		models := strings.Join(g.models, ", ")
		if r.State == Paced {
			r.because("latency of %s is valid in %s", models, g.about)
		}
		parts = append(parts, "in "+g.about+" of "+models)
	}
	if r.State == Saturated && parts != nil {
		r.because("a closed loop that saturates has no valid latency: it is valid %s", strings.Join(parts, "; "))
	}
}

// doubtToolchains names those that another toolchain built than this program.
// infos are what contenders said of themselves; one in C has no Go version.
func (r *Report) doubtToolchains(infos []testenv.ServerInfo) {
	var others grouped
	for i, info := range infos {
		if v := info.GoVersion; v != "" && v != runtime.Version() {
			others.add(r.Comparison.Names[i], v)
		}
	}
	for _, g := range others {
		r.because("built with %s, and this program with %s: %s; what differs may be the toolchain", g.about, runtime.Version(), strings.Join(g.models, ", "))
	}
}

// grouped are models by what is to be said about them, in the order in which it
// was said first.
type grouped []group

type group struct {
	about  string
	models []string
}

func (g *grouped) add(model, about string) {
	i := slices.IndexFunc(*g, func(other group) bool { return other.about == about })
	if i < 0 {
		i = len(*g)
		*g = append(*g, group{about: about})
	}
	(*g)[i].models = append((*g)[i].models, model)
}
