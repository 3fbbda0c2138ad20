package proof

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/load"
	"netbench/results"
	"netbench/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheHeadTellsCommandAndMachine(t *testing.T) {
	dirty := true
	host := results.Fingerprint{
		Start: time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC), GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "arm64",
		Kernel: "Linux 6.18", CPUs: 8, CPUModel: "Some CPU", Commit: "0123456789abcdef0123", Dirty: &dirty,
		Sysctls: map[string]string{"net.ipv4.tcp_congestion_control": "cubic"}, LoadAverage: []float64{0.25, 1, 2},
	}
	got := head("A title", "go test ./x", host, testenv.Placement{Server: []int{0, 1}, Generator: []int{2, 3}})
	assert.Equal(t, `# A title

    go test ./x

wrote this on 2026-03-01 at commit 0123456789ab with changes with go1.26.8 for linux/arm64
on Linux 6.18, 8 CPUs (Some CPU), congestion control cubic,
load average at the start 0.25.
Servers on CPU 0-1, clients on CPU 2-3.

`, got)
	assert.Equal(t, "# T\n\n    c\n\nwrote this on 2026-03-01 with go1.26.8 for /\non , 0 CPUs ().\n\n",
		head("T", "c", results.Fingerprint{Start: host.Start, GoVersion: "go1.26.8"}, testenv.Placement{}), "what is not known is not said")
}

func TestTheCommandHasTheFlagsThatDifferFromTheirDefaults(t *testing.T) {
	flags := flag.NewFlagSet("x", flag.ContinueOnError)
	flags.Int("x-rounds", 12, "")
	flags.Int("x-slices", 4, "")
	flags.Duration("x-slice", time.Second, "")
	flags.String("x-out", "here", "")
	flags.Bool("test.v", false, "")
	require.NoError(t, flags.Parse([]string{"-x-rounds", "2", "-x-slices", "4", "-x-out", "there", "-test.v"}))
	assert.Equal(t, "go test -tags proof -count=1 -timeout 0 -run '^TestProofX$' ./x -x-rounds 2", command("TestProofX", "./x", flags))
}

func TestAPageIsWrittenWhole(t *testing.T) {
	p := Begin(t, "Title", "./internal/proof")
	p.WriteString("the rest\n")
	path := filepath.Join(t.TempDir(), "new", "page.md")
	p.Save(t, path)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), "# Title\n\n    go test -tags proof"), "%s", text)
	assert.Contains(t, string(text), "'^"+t.Name()+"$' ./internal/proof")
	assert.True(t, strings.HasSuffix(string(text), "\n\nthe rest\n"), "%s", text)
}

func TestMediansAndIntervalsSayWhatIsNotKnown(t *testing.T) {
	c := &load.Comparison{}
	for range 4 {
		c.Rounds = append(c.Rounds, &load.Round{Samples: []*load.Sample{{}, {}}})
	}
	of := func(values ...float64) load.Metric {
		i := -1
		return func(*load.Sample) (float64, bool) {
			i++
			if i >= len(values) {
				return 0, false
			}
			return values[i], true
		}
	}
	assert.Equal(t, "30.0", Median(c, 0, of(1, 9, 3), 10, "%.1f"))
	assert.Equal(t, "4.0", Median(c, 0, of(1, 9, 3, 5), 1, "%.1f"), "the mean of the middle two")
	assert.Equal(t, "not known", Median(c, 0, of(), 1, "%.1f"))

	assert.Equal(t, "not known", Interval(load.Ratio{}))
	assert.Equal(t, "1.250 (one round, no interval)", Interval(load.Ratio{N: 1, Mean: 1.25, Lo: 0, Hi: math.Inf(1)}))
	assert.Equal(t, "1.250 (1.100 to 1.420)", Interval(load.Ratio{N: 3, Mean: 1.25, Lo: 1.1, Hi: 1.42}))
}
