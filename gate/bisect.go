package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bisect says where a slowdown is looked for.
type Bisect struct {
	// Options are those of each gate; its one cell has one metric that gates.
	// Arms are filled in.
	Options

	Dir       string // in the checkout; "" for the working directory
	Good, Bad string // refs of git, the first an ancestor of the second
}

// Bisected is what a bisection found.
type Bisected struct {
	Row  string `json:"row"`
	Unit string `json:"unit"`

	// Total is the slowdown from good to bad. A commit counts as bad if it has
	// more than half of that.
	Total Outcome `json:"total"`

	// Candidates are the commits of which one is the first bad one: exactly one
	// unless some could not be judged, or the search did not come to its end.
	Candidates []Commit `json:"candidates"`

	// Own is what the candidate does beside its predecessor, if there is one
	// candidate.
	Own *Outcome `json:"own,omitempty"`

	Steps []Step `json:"steps"`
}

// Commit is a commit.
type Commit struct {
	Hash    string `json:"hash"`
	Subject string `json:"subject"`
}

func (c Commit) String() string { return fmt.Sprintf("%.12s %s", c.Hash, c.Subject) }

// Step is one commit that was judged.
type Step struct {
	Commit
	Verdict Verdict  `json:"verdict"` // fail: it is slow; pass: it is not yet; else it could not be judged
	Effect  *float64 `json:"effect"`  // beside good
	Lo      *float64 `json:"lo"`
	Hi      *float64 `json:"hi"`
	Why     string   `json:"why,omitempty"`
}

// ErrNoSlowdown is wrapped by the error of a bisection between two commits that a
// gate does not tell apart.
var ErrNoSlowdown = errors.New("no slowdown")

// RunBisect finds the commit by which a row became slower, by gates between good and
// commits after it, each time halving those that are left. It follows first parents,
// so that a merged branch is one commit. A commit that does not build, or that two
// gates in a row cannot decide about, is left out like one that git bisect skips.
//
// The error wraps [ErrInput], or [ErrNoSlowdown] if bad is not shown to be slower
// than good. What was found before an error is returned with it.
func RunBisect(ctx context.Context, o Bisect) (found *Bisected, err error) {
	options, err := o.normalize()
	if err != nil {
		return nil, err
	}
	o.Options = options
	if len(o.Cells) != 1 || len(o.Cells[0].Metrics) != 1 || !o.Cells[0].Metrics[0].Gates {
		return nil, badInput("a bisection is made of one row with one metric")
	}
	var made []func() error
	b := &builder{ctx: ctx, log: o.Log, made: &made}
	defer func() { err = errors.Join(err, undo(&made)()) }()
	if err := b.open(o.Dir); err != nil {
		return nil, err
	}
	line, err := b.line(o.Good, o.Bad)
	if err != nil {
		return nil, err
	}
	s := &bisection{Bisect: o, builder: b, line: line, built: map[int]Arm{}}
	return s.run(ctx)
}

// line returns the commits from good to bad, both included, along first parents.
func (b *builder) line(good, bad string) ([]Commit, error) {
	var ends [2]string
	for i, ref := range []string{good, bad} {
		hash, err := b.commit(ref)
		if err != nil {
			return nil, badInput("%v", err)
		}
		ends[i] = hash
	}
	if ends[0] == ends[1] {
		return nil, badInput("good and bad are the same commit, %.12s", ends[0])
	}
	text, err := b.git(b.top, "log", "--first-parent", "--format=%H %s", ends[1])
	if err != nil {
		return nil, badInput("%v", err)
	}
	var line []Commit
	for entry := range strings.Lines(text) {
		hash, subject, _ := strings.Cut(strings.TrimSpace(entry), " ")
		line = append(line, Commit{hash, subject})
		if hash == ends[0] {
			slices.Reverse(line)
			return line, nil
		}
	}
	return nil, badInput("%s (%.12s) is not among the first parents of %s (%.12s), so there is no line between them to search (give a commit of the same branch, or fetch the whole history)", good, ends[0], bad, ends[1])
}

// bisection is one under way. Commits are named by their place in line: 0 is good,
// the last is bad.
type bisection struct {
	Bisect
	builder *builder
	line    []Commit
	built   map[int]Arm
	out     Bisected
}

func (s *bisection) run(ctx context.Context) (*Bisected, error) {
	cell := s.Cells[0]
	s.out = Bisected{Row: cell.Name, Unit: cell.Metrics[0].Unit, Candidates: []Commit{}, Steps: []Step{}}
	last := len(s.line) - 1
	s.Log(fmt.Sprintf("commits after good: %d; first from one end to the other", last))
	total, verdict, why, err := s.compare(ctx, 0, last, s.Rules)
	if err != nil {
		return &s.out, err
	}
	s.out.Total = total
	if verdict != Fail {
		if why != "" {
			why = " (" + why + ")"
		}
		return &s.out, fmt.Errorf("%s %s: %w is shown from %s to %s: the gate says %s%s", s.out.Row, s.out.Unit, ErrNoSlowdown, s.Good, s.Bad, verdict, why)
	}
	s.Log(fmt.Sprintf("%s %s is worse by %s in all", s.out.Row, s.out.Unit, percent(*total.Effect)))
	rules := s.Rules.halfway(cell.Metrics[0].Kind, *total.Effect)
	lo, hi, err := search(last, func(i int) (Verdict, error) { return s.judge(ctx, i, rules) })
	s.out.Candidates = s.line[lo+1 : hi+1]
	if err != nil || hi-lo > 1 {
		return &s.out, err
	}
	own, _, _, err := s.compare(ctx, lo, hi, s.Rules)
	if err == nil {
		s.out.Own = &own
	}
	return &s.out, err
}

// halfway are rules by which a commit that has more than half of an effect fails,
// and one that has less passes.
func (r Rules) halfway(k Kind, effect float64) Rules {
	half := math.Expm1(math.Log1p(effect) / 2)
	r.measured = true
	r.Margin, r.Tolerance = map[Kind]float64{}, map[Kind]float64{}
	for _, kind := range []Kind{Timing, Tail, Count} {
		r.Margin[kind], r.Tolerance[kind] = half, half
	}
	return r
}

// search halves the places between 0, which is known to pass, and last, which is
// known to fail, until those are left of which none can be judged: lo passes, hi
// fails.
func search(last int, judge func(i int) (Verdict, error)) (lo, hi int, err error) {
	hi = last
	skipped := map[int]bool{}
	for {
		at := -1
		// The one nearest to the middle that is not skipped.
		for i := lo + 1; i < hi; i++ {
			if !skipped[i] && (at < 0 || distance(i, lo, hi) < distance(at, lo, hi)) {
				at = i
			}
		}
		if at < 0 {
			return lo, hi, nil
		}
		v, err := judge(at)
		if err != nil {
			return lo, hi, err
		}
		switch v {
		case Pass:
			lo = at
		case Fail:
			hi = at
		default:
			skipped[at] = true
		}
	}
}

// distance is twice that of i from the middle.
func distance(i, lo, hi int) int {
	d := 2*i - lo - hi
	return max(d, -d)
}

// judge holds a gate between good and a commit, and a second one of twice as many
// rounds if the first does not decide.
func (s *bisection) judge(ctx context.Context, i int, rules Rules) (Verdict, error) {
	s.Log("judging " + s.line[i].String())
	step := Step{Commit: s.line[i]}
	for again := range 2 {
		if again > 0 {
			s.Log(fmt.Sprintf("not decided (%s); again, with %d rounds", step.Why, 2*s.Rounds))
		}
		row, verdict, why, err := s.compareWith(ctx, 0, i, rules, s.Rounds*(1+again))
		if err != nil && (ctx.Err() != nil || !errors.Is(err, ErrInput)) {
			return Unfit, err
		}
		if err != nil { // it does not build, or cannot serve the row
			step.Verdict, step.Why = Unfit, err.Error()
			break
		}
		step.Verdict, step.Effect, step.Lo, step.Hi, step.Why = verdict, row.Effect, row.Lo, row.Hi, why
		if verdict == Pass || verdict == Fail {
			break
		}
	}
	s.out.Steps = append(s.out.Steps, step)
	s.Log(step.String())
	return step.Verdict, nil
}

// String tells what was found: "pass 0123456789ab subject: +0.4 % [-0.8 %, +1.3 %]".
func (s Step) String() string {
	text := fmt.Sprintf("%-12s %s: %s %s", s.Verdict, s.Commit, share(s.Effect), interval(s.Lo, s.Hi))
	if s.Verdict != Pass && s.Verdict != Fail {
		first, _, _ := strings.Cut(s.Why, "\n")
		text += " (" + first + ")"
	}
	return text
}

func (s *bisection) compare(ctx context.Context, base, head int, rules Rules) (Outcome, Verdict, string, error) {
	return s.compareWith(ctx, base, head, rules, s.Rounds)
}

// compareWith holds one gate between two places.
func (s *bisection) compareWith(ctx context.Context, base, head int, rules Rules, rounds int) (row Outcome, v Verdict, why string, err error) {
	o := s.Options
	o.Rules, o.Rounds = rules, rounds
	for i, place := range []int{base, head} {
		if o.Arms[i], err = s.arm(place); err != nil {
			return row, v, why, err
		}
		o.Arms[i].Name = []string{"base", "head"}[i]
	}
	s.Seed++
	o.Seed = s.Seed
	r, err := Run(ctx, o)
	if err != nil {
		return row, v, why, err
	}
	v = r.Rows[0].Verdict
	for _, t := range r.tracks {
		if n := t.faults(rules); n[0]+n[1] > 0 { // not slow, but broken
			v = Unfit
		}
	}
	if r.Canary != nil && r.Canary.Verdict == Unfit || v == Informs {
		v = Unfit
	}
	return r.Rows[0], v, strings.Join(r.Reasons, "; "), nil
}

// arm builds a commit, once.
func (s *bisection) arm(place int) (Arm, error) {
	if a, ok := s.built[place]; ok {
		return a, nil
	}
	hash := s.line[place].Hash
	a, err := s.builder.arm(hash[:12], hash, "", "")
	if err == nil {
		s.built[place] = a
	}
	return a, err
}
