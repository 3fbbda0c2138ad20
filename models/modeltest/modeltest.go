// Package modeltest is the conformance suite of models: what testing/fstest is
// to file systems, it is to implementations of [models.Server].
//
// The suite knows a server only by its [models.Factory]. It makes servers that
// run services of its own, which the test steers from outside (a session that
// blocks until it is released, one that asks for more than a read buffer, one
// that makes a reply far larger than its request), connects to them over real
// sockets, misbehaves, and compares what it sees with the contract in package
// models. Each statement of that contract is one [Rule] with a stable name, and
// a rule that fails says what was expected and what was found.
//
//	func TestConformance(t *testing.T) {
//		modeltest.Run(t, goroutine.New)
//	}
//
// A model that cannot do something says so with [Declares]. The declaration is
// logged, and it has to be true: a rule that fails undeclared and a rule that
// passes although it is declared to fail are both failures of the test.
//
// The servers run in the process of the test: the suite counts its descriptors
// and goroutines, and its services talk to its rules.
//
// Nothing here waits without a limit, and no rule judges by an absolute time
// but for upper bounds of seconds. Rules that look at the whole process (its
// descriptors, its goroutines, its heap, its CPU time) exclude all other rules
// while they run. They cannot exclude other tests of the same binary, so a test
// that calls [Run] must not be parallel.
package modeltest

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"netbench/models"
)

// T is the part of [testing.T] that a rule uses. It is an interface so that a
// server can be judged without failing a test. FailNow must end the calling
// goroutine, as [testing.T.FailNow] does.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
}

// Rule is one statement that every model has to fulfil.
type Rule struct {
	Name string // stable, in lower case with hyphens; the name of the subtest
	Doc  string // what is demanded, one sentence

	// Check judges the servers that factory makes, over TCP on IPv4, and
	// reports violations to t. It returns when all servers that it made are
	// closed, and within a bounded time. Unlike [Run] it does not look for
	// goroutines and descriptors left behind, except in the rules about them.
	Check func(t T, factory models.Factory)
}

// rule is a Rule with what Run has to know about it.
type rule struct {
	name, doc string
	check     func(*probe)

	alone    bool          // looks at the whole process
	busy     bool          // computes more than it waits, which is in the way of others
	networks bool          // worth repeating on every kind of socket
	tcp      bool          // makes sense on TCP only
	lacking  func() string // why this host cannot run it, "" if it can
}

// rules is the suite, in the order in which it tells what it found: what later
// rules rely on comes first.
func rules() []rule {
	return slices.Concat(bytesRules, sessionRules, pendingRules, endingRules,
		idleRules, limitRules, shutdownRules, closeRules, setupRules, statsRules)
}

// Rules returns all rules in the order of [Run]'s subtests.
func Rules() []Rule {
	var public []Rule
	for _, r := range rules() {
		public = append(public, Rule{Name: r.name, Doc: r.doc, Check: func(t T, factory models.Factory) {
			t.Helper()
			if r.lacking != nil && r.lacking() != "" {
				t.Logf("%s is not judged: %s", r.name, r.lacking())
				return
			}
			r.judge(t, factory, setting{network: "tcp4", patience: defaultPatience})
		}})
	}
	return public
}

// defaultPatience is how long one call or one exchange may take. It only bounds
// failures, so it is wide.
const defaultPatience = 10 * time.Second

// setting is what a rule is run with.
type setting struct {
	network  string
	patience time.Duration
	short    bool
	alone    bool // exclude other rules, whichever rule it is
	leaks    bool // look for what the rule left behind
}

// Option changes what [Run] does.
type Option func(*plan)

type plan struct {
	declared map[string]string // rule to reason
	networks []string
	only     []string // rules; nil means all
	short    bool
	single   bool // one server at a time
}

// Declares says that the model is known to fail a rule, and why. The reason is
// logged. Declaring a rule that does not exist, or one that the model passes,
// fails the test. A declared "no-leak" also switches off the search for leaks
// after each rule.
func Declares(rule, reason string) Option {
	return func(p *plan) { p.declared[rule] = reason }
}

// Networks says on which of "tcp4", "tcp6" and "unix" to run. The first one
// runs every rule, the others those where kinds of sockets differ. The default
// is all that the host has. A network that the host lacks is logged and
// skipped, but for the first, which fails.
func Networks(names ...string) Option {
	return func(p *plan) { p.networks = names }
}

// Only asks for these rules and no others, for a variant of a model that passes
// all: those that what is different about the variant could break. A name that no
// rule has fails the test.
func Only(rules ...string) Option {
	return func(p *plan) { p.only = rules }
}

// OneByOne judges no rules together, for a model that cannot make a server while
// another one of it runs in the process.
func OneByOne() Option {
	return func(p *plan) { p.single = true }
}

// Short asks for less data and for one network, as the flag -short does.
func Short() Option {
	return func(p *plan) { p.short = true }
}

// Run judges the servers that factory makes by every rule, each in a subtest
// with the rule's name that contains one for each network. It also looks for
// goroutines and descriptors that were left behind. Rules that mostly wait are
// judged together before the first subtest; if they leave something behind they
// are judged again, one by one, to tell which of them it was.
func Run(t *testing.T, factory models.Factory, options ...Option) {
	t.Helper()
	run(subtests{t}, rules(), factory, testing.Short(), options...)
}

// runner is a T that can open subtests.
type runner interface {
	T
	Skipf(format string, args ...any)
	Run(name string, f func(runner)) bool
}

// subtests makes a runner of testing.T.
type subtests struct{ *testing.T }

func (s subtests) Run(name string, f func(runner)) bool {
	return s.T.Run(name, func(t *testing.T) { f(subtests{t}) })
}

func run(t runner, suite []rule, factory models.Factory, short bool, options ...Option) {
	t.Helper()
	p := &plan{declared: map[string]string{}, short: short}
	for _, o := range options {
		o(p)
	}
	for _, name := range slices.Sorted(maps.Keys(p.declared)) {
		if !slices.ContainsFunc(suite, func(r rule) bool { return r.name == name }) {
			t.Errorf("rule %q is declared to fail but does not exist (Rules lists those that do)", name)
		}
	}
	for _, name := range p.only {
		if !slices.ContainsFunc(suite, func(r rule) bool { return r.name == name }) {
			t.Errorf("rule %q is asked for but does not exist (Rules lists those that do)", name)
		}
	}
	if p.only != nil {
		suite = slices.DeleteFunc(slices.Clone(suite), func(r rule) bool { return !slices.Contains(p.only, r.name) })
	}
	networks := available(t, p.networks)
	if len(networks) == 0 {
		t.FailNow()
	}
	if p.short {
		networks = networks[:1]
	}
	_, leaky := p.declared["no-leak"]
	s := setting{patience: defaultPatience, short: p.short, alone: true, leaks: !leaky}
	together := p.together(suite, factory, networks, s)
	found := len(together.left) == 0
	for i, r := range suite {
		reason, declared := p.declared[r.name]
		t.Run(r.name, func(t runner) {
			t.Helper()
			if r.lacking != nil && r.lacking() != "" {
				t.Skipf("not judged here: %s", r.lacking())
			}
			on := r.on(networks)
			if len(on) == 0 {
				t.Skipf("not judged on %s, which lacks what it is about", strings.Join(networks, " and "))
			}
			if !declared {
				for _, s.network = range on {
					if rec := together.verdict(i, s.network); rec != nil {
						t.Run(s.network, func(t runner) { rec.replay(t) })
					} else if !t.Run(s.network, func(t runner) { r.judge(t, factory, s) }) {
						found = true
					}
				}
				return
			}
			var failures []string
			for _, s.network = range on {
				failures = append(failures, r.record(factory, s).failures...)
			}
			if len(failures) == 0 {
				t.Errorf("%s is declared to fail (%s) but passes: drop the declaration", r.name, reason)
				return
			}
			t.Logf("DECLARED: fails %s: %s (found: %s)", r.name, reason, failures[0])
		})
	}
	if !found {
		t.Errorf("%s (by one of the rules that were judged together; none does so by itself)", strings.Join(together.left, "; "))
	}
}

// on picks the networks that r is run on.
func (r rule) on(networks []string) []string {
	if r.tcp {
		networks = slices.DeleteFunc(slices.Clone(networks), func(n string) bool { return n == "unix" })
	}
	if !r.networks && len(networks) > 1 {
		networks = networks[:1]
	}
	return networks
}

// available returns those of the wanted networks that this host has.
func available(t T, wanted []string) []string {
	t.Helper()
	asked := wanted != nil
	if !asked {
		wanted = []string{"tcp4", "tcp6", "unix"}
	}
	var networks []string
	for i, n := range wanted {
		if err := tryNetwork(n); err == nil {
			networks = append(networks, n)
		} else if asked && i == 0 {
			t.Errorf("network %q was asked for: %v", n, err)
			return nil
		} else {
			t.Logf("network %q is left out on %s: %v", n, runtime.GOOS, err)
		}
	}
	if len(networks) == 0 && !asked {
		t.Errorf("none of the networks %s is available", strings.Join(wanted, ", "))
	}
	return networks
}
