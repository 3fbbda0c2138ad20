package results

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
)

func TestEveryUnitIsReadBackWithItsDirection(t *testing.T) {
	var head strings.Builder
	for _, u := range Units {
		head.WriteString(u.metadata() + "\n")
	}
	r := benchfmt.NewReader(strings.NewReader(head.String()), "head")
	for r.Scan() {
		_, bad := r.Result().(*benchfmt.SyntaxError)
		require.False(t, bad, "%v", r.Result())
	}
	require.NoError(t, r.Err())
	seen := make(map[string]bool)
	for _, u := range Units {
		assert.Equal(t, int(u.Better), r.Units().GetBetter(u.Name), u.Name)
		assert.NotEmpty(t, u.Doc, u.Name)
		assert.False(t, seen[baseUnit(u.Name)], "%s is there twice", u.Name)
		seen[baseUnit(u.Name)] = true
	}
}

func TestUnitsOfTimeAndSizeAreTidied(t *testing.T) {
	for name, want := range map[string]string{
		"p50-ns": "p50-sec", "p99.9-ns": "p99.9-sec", "connect-p50-ns": "connect-p50-sec",
		"server-cpu-ns/op": "server-cpu-sec/op", "ns/op": "sec/op", "MB/s": "B/s",
		"B/conn": "B/conn", "req/s": "req/s", "conn/s": "conn/s", "gc-cpu-%": "gc-cpu-%",
	} {
		assert.Equal(t, want, baseUnit(name))
	}
}

func TestValuesArePrintedWithThreeDigits(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{73.24e-6, "p50-sec", "73.2µs"},
		{0.2361e-9, "sec/op", "0.236ns"},
		{999.6e-6, "p50-sec", "1.00ms"},
		{9.996e-6, "p50-sec", "10.0µs"},
		{75, "p99-sec", "75.0s"},
		{7500, "p99-sec", "7500s"},
		{81234, "req/s", "81.2k"},
		{0.01184, "allocs/op", "0.0118"},
		{13.58, "syscalls/op", "13.6"},
		{1536, "B/conn", "1.50KiB"},
		{0.9, "server-B/op", "0.900B"},
		{3e9, "B/s", "2.79GiB"},
		{99.97, "success-%", "100%"},
		{0, "p50-sec", "0"},
		{0, "gc-cpu-%", "0%"},
		{-1500, "req/s", "-1.50k"},
		{1e-30, "req/s", "0.000000000000"},
		{12, "somebody's-unit", "12.0"},
	} {
		assert.Equal(t, c.want, formatValue(c.v, c.unit), "%v %s", c.v, c.unit)
	}
}
