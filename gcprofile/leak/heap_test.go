package leak

import (
	"bytes"
	"math"
	"runtime"
	"runtime/pprof"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sampleHeap = `heap profile: 3: 4096 [9: 65536] @ heap/1048576
1: 2048 [2: 4096] @ 0x47b0 0x47c1
#	0x47af	main.keep[...]+0x2f	/src/a dir/main.go:12
#	0x47c0	main.main+0x10		/src/a dir/main.go:20

2: 2048 [7: 61440] @ 0x11

# runtime.MemStats
# Alloc = 99
# HeapAlloc = 123456
# HeapSys = 999999
`

func TestParseHeapReadsRecordsRateAndLiveHeap(t *testing.T) {
	p, err := parseHeap([]byte(sampleHeap))
	require.NoError(t, err)
	assert.Equal(t, 512<<10, p.rate)
	assert.InDelta(t, 123456, p.live, 0)
	require.Len(t, p.records, 2)
	assert.Equal(t, inUse{1, 2048}, p.records[0].inUse)
	assert.Equal(t, []Frame{{"main.keep[...]", "/src/a dir/main.go", 12}, {"main.main", "/src/a dir/main.go", 20}}, p.records[0].stack)
	assert.Equal(t, inUse{2, 2048}, p.records[1].inUse)
	assert.Empty(t, p.records[1].stack)
}

func TestParseHeapReadsWhatTheRuntimeWrites(t *testing.T) {
	before := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = before; kept = nil }()
	keeps(300_000)
	runtime.GC()
	var text bytes.Buffer
	require.NoError(t, pprof.Lookup("heap").WriteTo(&text, 1))
	p, err := parseHeap(text.Bytes())
	require.NoError(t, err)
	assert.Equal(t, 1, p.rate)
	assert.GreaterOrEqual(t, p.live, 300_000.0)
	for _, r := range p.records {
		if len(r.stack) > 0 && r.stack[0].Func == "netbench/gcprofile/leak.keeps" && r.bytes >= 300_000 {
			return
		}
	}
	t.Errorf("no record of keeps in:\n%s", text.String())
}

func TestParseHeapRefusesWhatIsNone(t *testing.T) {
	for text, says := range map[string]string{
		"":                                     "cut off",
		"hello\n":                              "not as a heap profile",
		"heap profile: 1: 2 [3: 4] @ heap/x\n": "not as a heap profile",
		"heap profile: 1: 2 [3: 4] @ heap/2\n": "cut off",
		"heap profile: @ heap/2\n# HeapAlloc = x": "HeapAlloc",
	} {
		_, err := parseHeap([]byte(text))
		assert.ErrorContains(t, err, says, text)
	}
}

func TestUnsampledEstimatesAllFromWhatWasRecorded(t *testing.T) {
	// An object of the size of the rate is recorded with probability 1-1/e.
	assert.InDelta(t, 1/(1-1/math.E), unsampled(inUse{10, 40960}, 4096), 1e-12)
	assert.InDelta(t, 1, unsampled(inUse{1, 1 << 30}, 4096), 1e-12)
	assert.InDelta(t, 1, unsampled(inUse{5, 100}, 1), 0)
	assert.InDelta(t, 1, unsampled(inUse{}, 4096), 0)
}

func TestASiteIsNamedByTheProgramsFunctionAndWhatItCalled(t *testing.T) {
	mine := Frame{modules[0] + "/x.Handle", "", 7}
	for _, c := range []struct {
		stack []Frame
		want  string
	}{
		{[]Frame{{Func: "runtime.makeslice"}, mine}, mine.String()},
		{[]Frame{{Func: "strings.Repeat"}, mine}, mine.String() + " by strings.Repeat"},
		{[]Frame{{Func: "runtime.mallocgc"}, {Func: "bytes.growSlice"}, {Func: "io.ReadAll"}, mine}, mine.String() + " by io.ReadAll and bytes.growSlice"},
		{[]Frame{{Func: "net/http.(*conn).serve"}}, "net/http.(*conn).serve (.:0)"},
		{[]Frame{{Func: "runtime.mallocgc"}, {Func: "runtime.newobject"}, {Func: "runtime.malg"}, {Func: "runtime.newproc1"}}, "runtime.malg (.:0)"},
		{nil, "unknown"},
	} {
		assert.Equal(t, c.want, siteOf(c.stack).where)
	}
	assert.True(t, siteOf([]Frame{{Func: "os.newFile"}, {Func: "os.Open"}, mine}).opens)
	assert.True(t, siteOf([]Frame{{Func: "bytes.growSlice"}, {Func: ownType + "sample"}}).own)
}

func FuzzParseHeap(f *testing.F) {
	f.Add([]byte(sampleHeap))
	f.Add([]byte("heap profile: 0: 0 [0: 0] @ heap/0\n#\n# HeapAlloc = -1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseHeap(text)
		if err == nil && p.rate < 0 {
			t.Errorf("rate %d", p.rate)
		}
		for _, r := range p.records {
			_ = siteOf(r.stack)
		}
	})
}
