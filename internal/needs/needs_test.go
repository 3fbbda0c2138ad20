package needs

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// recorder is a test that tells how it ended.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.skipped = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }

func TestWhatIsRequiredFailsAndWhatIsNotIsSkipped(t *testing.T) {
	t.Setenv("NETBENCH_REQUIRE", "wrk,perf")
	r := &recorder{TB: t}
	assert.Panics(t, func() { Skip(r, Perf, "no permission") })
	assert.True(t, r.failed)
	assert.False(t, r.skipped)
	r = &recorder{TB: t}
	Skip(r, CC, "no such program")
	assert.True(t, r.skipped, "a name that is part of nothing listed")
	t.Setenv("NETBENCH_REQUIRE", "")
	assert.False(t, Required(Wrk))
}
