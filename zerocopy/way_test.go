package zerocopy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWaysAreReadBackFromTheirNames(t *testing.T) {
	seen := map[string]bool{}
	for _, way := range Ways() {
		require.NoError(t, way.Check())
		back, err := ParseWay(way.String())
		require.NoError(t, err)
		assert.Equal(t, way, back)
		assert.False(t, seen[way.String()], "%v is there twice", way)
		seen[way.String()] = true
	}
	assert.True(t, seen["buffer-32KiB"] && seen["buffer-1MiB"] && seen["copy"] && seen["copy-hidden"] &&
		seen["sendfile"] && seen["mmap"] && seen["zerocopy-64KiB"], "%v", seen)
}

func TestParseWayRefusesWhatIsNone(t *testing.T) {
	for _, name := range []string{
		"", "buffer", "buffer-", "buffer-0B", "buffer-64", "buffer-64kib", "buffer--1B", "buffer-65MiB", "buffer-1e3B",
		"buffer-99999999999999999999MiB", "zerocopy", "zerocopy-9223372036854775807B", "sendfile-64KiB", "Copy", "copy ", "splice",
	} {
		_, err := ParseWay(name)
		assert.Error(t, err, name)
	}
}

func TestCheckRefusesABufferWhereThereIsNone(t *testing.T) {
	for _, way := range []Way{{}, {KindSendfile, 1}, {KindCopy, -1}, {KindBuffer, 0}, {KindBuffer, MaxBuffer + 1}, {KindZeroCopy, -5}, {"tape", 0}} {
		assert.Error(t, way.Check(), "%v", way)
		_, err := NewSender(nil, way)
		assert.Error(t, err, "%v", way)
	}
}

func TestSizesAreWrittenInTheLargestWholeUnit(t *testing.T) {
	for n, want := range map[int64]string{
		1: "1B", 1000: "1000B", 1024: "1KiB", 1536: "1536B", 64 << 10: "64KiB", 1 << 20: "1MiB", 10 << 20: "10MiB", 1<<20 + 1<<10: "1025KiB", 3 << 30: "3072MiB",
	} {
		assert.Equal(t, want, FormatSize(n))
		back, err := ParseSize(want)
		require.NoError(t, err)
		assert.Equal(t, n, back)
	}
}

func FuzzParseWay(f *testing.F) {
	for _, way := range Ways() {
		f.Add(way.String())
	}
	f.Add("buffer-99999999999MiB")
	f.Fuzz(func(t *testing.T, name string) {
		way, err := ParseWay(name)
		if err != nil {
			return
		}
		require.NoError(t, way.Check())
		back, err := ParseWay(way.String())
		require.NoError(t, err)
		require.Equal(t, way, back)
	})
}
