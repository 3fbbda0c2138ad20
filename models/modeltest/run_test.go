package modeltest

import (
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// stage is a runner that notes what happens in its subtests.
type stage struct {
	recorder
	name    string
	parent  *stage
	subs    []*stage
	skipped string
}

func (s *stage) Skipf(format string, args ...any) {
	s.Logf(format, args...)
	s.skipped = s.logs[len(s.logs)-1]
	runtime.Goexit()
}

func (s *stage) Run(name string, f func(runner)) bool {
	sub := &stage{name: name, parent: s}
	s.subs = append(s.subs, sub)
	sub.perform(f)
	return len(sub.allFailures()) == 0
}

func (s *stage) perform(f func(runner)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
}

func (s *stage) allFailures() []string {
	all := s.failures
	for _, sub := range s.subs {
		all = append(all, sub.allFailures()...)
	}
	return all
}

// played are the names of the subtests below s, with those of their own.
func (s *stage) played() []string {
	var names []string
	for _, sub := range s.subs {
		names = append(names, sub.name)
		for _, name := range sub.played() {
			names = append(names, sub.name+"/"+name)
		}
	}
	return names
}

// onStage runs a suite against correct servers.
func onStage(suite []rule, short bool, options ...Option) *stage {
	s := &stage{name: "Run"}
	s.perform(func(r runner) { run(r, suite, newBreakage(flawless).factory, short, options...) })
	return s
}

var (
	passing = rule{name: "passing", check: func(*probe) {}}
	failing = rule{name: "failing", check: func(p *probe) { p.fatalf("found this, want that") }}
)

func TestRunFailsOnAnUndeclaredFailure(t *testing.T) {
	s := onStage([]rule{passing, failing, passing}, false, Networks("tcp4"))
	assert.Equal(t, []string{"found this, want that"}, s.allFailures())
	assert.Equal(t, []string{"passing", "passing/tcp4", "failing", "failing/tcp4", "passing", "passing/tcp4"}, s.played())
}

func TestRunLogsADeclaredFailureAndPasses(t *testing.T) {
	s := onStage([]rule{passing, failing}, false, Networks("tcp4"), Declares("failing", "it has no notion of that"))
	assert.Empty(t, s.allFailures())
	require.Len(t, s.subs, 2)
	assert.Equal(t, []string{"DECLARED: fails failing: it has no notion of that (found: found this, want that)"}, s.subs[1].logs)
}

func TestRunFailsOnAnUndeclaredPass(t *testing.T) {
	s := onStage([]rule{passing}, false, Networks("tcp4"), Declares("passing", "once it was so"))
	require.Len(t, s.allFailures(), 1)
	assert.Contains(t, s.allFailures()[0], "declared to fail (once it was so) but passes")
}

func TestRunFailsOnTheDeclarationOfAnUnknownRule(t *testing.T) {
	s := onStage([]rule{passing}, false, Networks("tcp4"), Declares("pasing", "a slip"))
	require.Len(t, s.allFailures(), 1)
	assert.Contains(t, s.allFailures()[0], `"pasing" is declared to fail but does not exist`)
}

func TestADeclarationHoldsIfTheRuleFailsOnAnyNetwork(t *testing.T) {
	suite := []rule{{name: "unix-only", networks: true, check: func(p *probe) {
		if p.network == "unix" {
			p.fatalf("fails on unix")
		}
	}}}
	if tryNetwork("unix") != nil {
		t.Skip("this host has no Unix sockets")
	}
	networks := Networks("tcp4", "unix")
	assert.Equal(t, []string{"fails on unix"}, onStage(suite, false, networks).allFailures())
	assert.Empty(t, onStage(suite, false, networks, Declares("unix-only", "known")).allFailures())
}

func TestRunRepeatsOnOtherNetworksOnlyWhatDiffersThere(t *testing.T) {
	if tryNetwork("unix") != nil {
		t.Skip("this host has no Unix sockets")
	}
	everywhere, tcpOnly := passing, passing
	everywhere.name, everywhere.networks = "everywhere", true
	tcpOnly.name, tcpOnly.networks, tcpOnly.tcp = "tcp-only", true, true
	suite := []rule{passing, everywhere, tcpOnly}
	assert.Equal(t, []string{"passing", "passing/tcp4", "everywhere", "everywhere/tcp4", "everywhere/unix", "tcp-only", "tcp-only/tcp4"},
		onStage(suite, false, Networks("tcp4", "unix")).played())
	for _, s := range []*stage{
		onStage(suite, true, Networks("tcp4", "unix")),
		onStage(suite, false, Networks("tcp4", "unix"), Short()),
	} {
		assert.Equal(t, []string{"passing", "passing/tcp4", "everywhere", "everywhere/tcp4", "tcp-only", "tcp-only/tcp4"}, s.played())
	}
	s := onStage(suite, false, Networks("unix"))
	assert.Empty(t, s.allFailures())
	assert.Contains(t, s.subs[2].skipped, "not judged on unix")
}

func TestRunRefusesANetworkThatDoesNotExist(t *testing.T) {
	s := onStage([]rule{passing}, false, Networks("udp"))
	require.Len(t, s.failures, 1)
	assert.Contains(t, s.failures[0], `unknown network "udp"`)
	assert.Empty(t, s.played())

	s = onStage([]rule{passing}, false, Networks("tcp4", "udp"))
	assert.Empty(t, s.allFailures())
	assert.Contains(t, strings.Join(s.logs, "\n"), `network "udp" is left out`)
}

func TestRunSkipsWhatTheHostLacks(t *testing.T) {
	lacking := failing
	lacking.lacking = func() string { return "no such thing here" }
	s := onStage([]rule{lacking}, false, Networks("tcp4"))
	assert.Empty(t, s.allFailures())
	assert.Contains(t, s.subs[0].skipped, "no such thing here")
}

func TestRunFindsWhatARuleLeavesBehindUnlessDeclared(t *testing.T) {
	var release chan struct{}
	leaking := rule{name: "leaking", check: func(*probe) { go func(c chan struct{}) { <-c }(release) }}
	noLeak := failing
	noLeak.name = "no-leak"

	release = make(chan struct{})
	s := onStage([]rule{leaking}, false, Networks("tcp4"))
	close(release)
	require.Len(t, s.allFailures(), 1)
	assert.Contains(t, s.allFailures()[0], "goroutines were left behind")

	release = make(chan struct{})
	s = onStage([]rule{leaking, noLeak}, false, Networks("tcp4"), Declares("no-leak", "it is what it is"))
	close(release)
	assert.Empty(t, s.allFailures())
}

func TestRunTellsWhichOfManyRulesLeftSomethingBehind(t *testing.T) {
	release := make(chan struct{})
	leaking := rule{name: "leaking", check: func(*probe) { go func() { <-release }() }}
	s := onStage([]rule{passing, leaking, passing}, false, Networks("tcp4"))
	close(release)
	require.Len(t, s.subs, 3)
	assert.Empty(t, s.subs[0].allFailures())
	require.Len(t, s.subs[1].allFailures(), 1)
	assert.Contains(t, s.subs[1].allFailures()[0], "goroutines were left behind")
	assert.Empty(t, s.subs[2].allFailures())
	assert.Empty(t, s.failures)
}

func TestRunFailsOnWhatRulesLeaveBehindOnlyTogether(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	leaking := rule{name: "leaking", check: func(*probe) { once.Do(func() { go func() { <-release }() }) }}
	s := onStage([]rule{passing, leaking}, false, Networks("tcp4"))
	close(release)
	require.Len(t, s.allFailures(), 1)
	assert.Contains(t, s.failures[0], "goroutines were left behind")
	assert.Contains(t, s.failures[0], "by one of the rules that were judged together")
}

func TestRunJudgesWhatWaitsTogetherAndWhatLooksAtTheProcessAlone(t *testing.T) {
	var here, most atomic.Int64
	met := make(chan struct{})
	member := func(alone, busy bool) rule {
		return rule{name: "waits", alone: alone, busy: busy, check: func(p *probe) {
			n := here.Add(1)
			defer here.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			if (alone || busy) && n > 1 {
				p.Errorf("%d rules are judged beside one that is to be judged alone", n-1)
			}
			if !alone && !busy {
				if n == 3 {
					close(met)
				}
				select {
				case <-met:
				case <-time.After(p.patience):
					p.fatalf("those that wait do not meet")
				}
			}
		}}
	}
	suite := []rule{member(false, false), member(true, false), member(false, false), member(false, true), member(false, false)}
	assert.Empty(t, onStage(suite, false, Networks("tcp4")).allFailures())
	assert.EqualValues(t, 3, most.Load())
}

func TestRunJudgesNothingTogetherOneByOne(t *testing.T) {
	var here atomic.Int64
	member := func(name string) rule {
		return rule{name: name, check: func(p *probe) {
			if n := here.Add(1); n > 1 {
				p.Errorf("%d others are judged", n-1)
			}
			time.Sleep(5 * time.Millisecond) // others would come meanwhile
			here.Add(-1)
		}}
	}
	suite := []rule{member("a"), member("b"), member("c")}
	assert.Empty(t, onStage(suite, false, Networks("tcp4"), OneByOne()).allFailures())
	assert.NotEmpty(t, onStage(suite, false, Networks("tcp4")).allFailures())
}

func TestRunJudgesOnlyWhatItIsAskedFor(t *testing.T) {
	other := failing
	other.name = "other"
	s := onStage([]rule{passing, other}, false, Networks("tcp4"), Only("passing"))
	assert.Empty(t, s.allFailures())
	assert.Equal(t, []string{"passing", "passing/tcp4"}, s.played())

	s = onStage([]rule{passing}, false, Networks("tcp4"), Only("pasing"))
	require.Len(t, s.allFailures(), 1)
	assert.Contains(t, s.allFailures()[0], `"pasing" is asked for but does not exist`)
}

func TestRulesHaveStableUniqueNamesAndSayWhatTheyDemand(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		assert.Regexp(t, regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), r.Name)
		assert.Regexp(t, regexp.MustCompile(`^[A-Z].*\.$`), r.Doc, r.Name)
		assert.False(t, seen[r.Name], "%s is there twice", r.Name)
		seen[r.Name] = true
	}
}

func TestARuleJudgesByItself(t *testing.T) {
	check := func(name string, f flaw) *recorder {
		for _, r := range Rules() {
			if r.Name == name {
				return onRecorder(func(rec *recorder) { r.Check(rec, newBreakage(f).factory) })
			}
		}
		require.Fail(t, "there is no rule "+name)
		return nil
	}
	assert.Empty(t, check("serve-error", flawless).failures)
	assert.NotEmpty(t, check("serve-error", flawServeNil).failures)
	assert.Empty(t, check("address-in-use", flawless).failures)
	assert.True(t, check("address-in-use", flawFallsBack).stopped)
}

func onRecorder(f func(*recorder)) *recorder {
	rec := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(rec)
	}()
	<-done
	return rec
}

func TestAFactoryThatFailsFailsTheRule(t *testing.T) {
	for _, s := range []models.Factory{
		func(models.Config) (models.Server, error) { return nil, models.ErrUnsupported },
		func(models.Config) (models.Server, error) { return nil, nil },
	} {
		rec := ruleNamed(t, "pipelining").record(s, setting{network: "tcp4", patience: time.Second})
		require.Len(t, rec.failures, 1)
		assert.Contains(t, rec.failures[0], "factory")
		assert.True(t, rec.stopped)
	}
}

// silentServer neither serves nor closes: the worst that a rule may meet.
type silentServer struct {
	models.Server
	never chan struct{}
}

func (s silentServer) Serve() error { <-s.never; return nil }
func (s silentServer) Close() error { <-s.never; return nil }

func TestNoRuleHangsOnAServerThatDoesNothing(t *testing.T) {
	never := make(chan struct{})
	var all []*recorder
	results := make(chan *recorder)
	suite := rules()
	for _, r := range suite {
		b := newBreakage(flawless)
		silent := func(c models.Config) (models.Server, error) {
			s, err := b.factory(c)
			if err != nil {
				return nil, err
			}
			b.keep(s.(*reference).listener)
			return silentServer{s, never}, nil
		}
		go func() {
			r.alone = false // so that none waits for the others
			rec := r.record(silent, setting{network: "tcp4", patience: 50 * time.Millisecond, short: true})
			if r.name == "config-errors" {
				rec.failures = append(rec.failures, "makes no server")
			}
			if r.name == "address-in-use" {
				rec.failures = append(rec.failures, "makes no server")
			}
			b.tidy()
			results <- rec
		}()
	}
	limit := time.After(60 * time.Second)
	for range suite {
		select {
		case rec := <-results:
			all = append(all, rec)
		case <-limit:
			require.Fail(t, "a rule hangs", "%d of %d have ended", len(all), len(suite))
		}
	}
	close(never)
	for _, rec := range all {
		assert.NotEmpty(t, rec.failures)
	}
}
