package habits

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts are n of various lengths, some longer than a buffer, some of several lines.
func texts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Repeat(fmt.Sprintf("text %d\r\nof some lines, größer\n", i), 1+i%12)
		if i%100 == 99 {
			all[i] = strings.Repeat(all[i], 60)
		}
	}
	return all
}

func TestAllWaysWriteTheSameMessages(t *testing.T) {
	for _, way := range Ways() {
		t.Run(way.Name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, way.Process(&b, []string{"", "a", "\r\n", "é\n\nb\r", "\xff"}))
			assert.Equal(t, "0:\n1:a\n1: \n5:é  b\n1:\xff\n", b.String())
		})
	}
	some := texts(1000)
	var want bytes.Buffer
	require.NoError(t, viaStrings(&want, some))
	// A hundred times, by several at once, which pass buffers on to one another.
	iterations := 100
	if raceDetector {
		iterations = 5 // each takes twenty times as long
	}
	var all sync.WaitGroup
	for _, way := range Ways() {
		all.Go(func() {
			for range iterations {
				var got bytes.Buffer
				got.Grow(want.Len())
				if !assert.NoError(t, way.Process(&got, some)) || !assert.True(t, bytes.Equal(want.Bytes(), got.Bytes()), way.Name) {
					return
				}
			}
		})
	}
	all.Wait()
}

// broken fails from the third write on.
type broken struct{ writes int }

var errBroken = errors.New("broken")

func (b *broken) Write(p []byte) (int, error) {
	if b.writes++; b.writes > 2 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestAllWaysEndWithTheFirstError(t *testing.T) {
	for _, way := range Ways() {
		w := &broken{}
		require.ErrorIs(t, way.Process(w, texts(10)), errBroken, way.Name)
		assert.Equal(t, 3, w.writes, way.Name)
	}
}

func TestAllJoinersMakeTheSameString(t *testing.T) {
	for _, joiner := range Joiners() {
		for _, c := range []struct {
			parts     []string
			separator string
			want      string
		}{
			{nil, ",", ""}, {[]string{""}, ",", ""}, {[]string{"a"}, ",", "a"},
			{[]string{"a", "", "b"}, ", ", "a, , b"}, {[]string{"a", "b"}, "", "ab"},
		} {
			assert.Equal(t, c.want, joiner.Join(c.parts, c.separator), "%s of %q", joiner.Name, c.parts)
		}
		some := texts(100)
		assert.True(t, strings.Join(some, "|") == joiner.Join(some, "|"), joiner.Name)
	}
}

// A string that was joined in a pooled buffer stays what it is when the buffer goes on.
func TestAJoinedStringDoesNotChange(t *testing.T) {
	for _, joiner := range Joiners() {
		first := joiner.Join([]string{"first", "string"}, " ")
		for range 100 {
			_ = joiner.Join([]string{"OTHER", "STRING"}, "-")
		}
		assert.Equal(t, "first string", first, joiner.Name)
	}
}

func FuzzAllVariantsComputeTheSame(f *testing.F) {
	f.Add("a\nb\r\nc", ",")
	f.Add("", "")
	f.Add(strings.Repeat("long\n", 3000), "\xff")
	f.Fuzz(func(t *testing.T, text, separator string) {
		parts := strings.SplitAfterN(text, "\n", 50)
		var want bytes.Buffer
		require.NoError(t, viaStrings(&want, parts))
		for _, way := range Ways() {
			var got bytes.Buffer
			require.NoError(t, way.Process(&got, parts))
			require.Equal(t, want.String(), got.String(), way.Name)
		}
		joined := strings.Join(parts, separator)
		for _, joiner := range Joiners() {
			require.Equal(t, joined, joiner.Join(parts, separator), joiner.Name)
		}
		records := recordsOf(text)
		whole := Whole(records)
		for _, c := range []Chunking{{Size: 1, Workers: 1}, {Size: 3, Workers: 2}, {}} {
			got, err := Chunked(t.Context(), records, c)
			require.NoError(t, err)
			require.Equal(t, whole, got)
		}
	})
}

func TestThePooledWaysAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector sync.Pool forgets a part")
	}
	some := texts(99) // none longer than a pool keeps
	allocs := map[string]float64{}
	for _, way := range Ways() {
		allocs[way.Name] = testing.AllocsPerRun(50, func() { _ = way.Process(io.Discard, some) })
	}
	t.Logf("allocations for 99 texts: %v", allocs)
	assert.InDelta(t, 99, allocs["naive"], 2, "one buffer for each, that is large enough")
	assert.GreaterOrEqual(t, allocs["strings"], 3*99.0)
	assert.LessOrEqual(t, allocs["pooled-bytes"], 2.0, "0, but for a collection in between")
	assert.LessOrEqual(t, allocs["pooled-buffer"], 2.0)
}

// Messages that are longer than a new buffer make it grow once, and then it stays so.
func TestAPooledBufferThatHasGrownStaysSo(t *testing.T) {
	forgets(t)
	alone(t)
	long := []string{strings.Repeat("long", BufferSize)}
	for _, way := range Ways() {
		if !strings.HasPrefix(way.Name, "pooled") {
			continue
		}
		require.NoError(t, way.Process(io.Discard, long))
		assert.Zero(t, testing.AllocsPerRun(50, func() { _ = way.Process(io.Discard, long) }), way.Name)
	}
}

func TestJoinersAllocateWhatTheirNamesSay(t *testing.T) {
	forgets(t)
	alone(t)
	parts := strings.Split(strings.Repeat("a part of sixteen,", 200), ",")
	allocs := map[string]float64{}
	for _, joiner := range Joiners() {
		_ = joiner.Join(parts, ";")
		allocs[joiner.Name] = testing.AllocsPerRun(20, func() { _ = joiner.Join(parts, ";") })
	}
	t.Logf("allocations for %d parts: %v", len(parts), allocs)
	assert.GreaterOrEqual(t, allocs["concatenation"], 2.0*199, "one for each part and each separator")
	assert.Less(t, allocs["builder"], 30.0, "it doubles")
	assert.Greater(t, allocs["builder"], 3.0)
	for _, once := range []string{"builder-grown", "pooled-buffer", "strings.Join"} {
		assert.Equal(t, 1.0, allocs[once], once+": the string alone")
	}
}
