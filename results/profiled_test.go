package results

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAProfiledRunIsNeitherComparedNorTakenForTheLatest(t *testing.T) {
	const echo = "BenchmarkEcho-2 \t100\t 5.0 ns/op"
	dir := t.TempDir()
	first := poolRun(t, dir, 0, echo)
	second := poolRun(t, dir, time.Hour, echo)
	profiled := poolRun(t, dir, 2*time.Hour, ProfiledLine("cpu,heap"), echo, ProfiledLine(""), echo)

	run, err := Read(profiled)
	require.NoError(t, err)
	assert.Equal(t, "cpu,heap", run.Profiled(), "also if only some results were")
	for _, pair := range [][2]string{{first, profiled}, {profiled, first}} {
		out, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = pair[0], pair[1] })
		require.ErrorIs(t, err, ErrProfiled)
		assert.True(t, strings.HasPrefix(err.Error(), profiled+": profiled run: cpu,heap"), err.Error())
		assert.Empty(t, out, "no table")
	}

	latest, err := Latest(dir, 2)
	require.NoError(t, err)
	assert.Equal(t, []string{first, second}, []string{latest[0].Path, latest[1].Path})
	require.NoError(t, os.Remove(second))
	_, err = Latest(dir, 2)
	require.ErrorIs(t, err, ErrTooFew)
	assert.ErrorContains(t, err, "1 complete and 1 profiled")
}

func TestRecordSaysThatARunWasProfiled(t *testing.T) {
	f := aHost()
	var out bytes.Buffer
	_, err := Record(t.Context(), RecordOptions{Dir: t.TempDir(), Out: &out, Err: io.Discard, Fingerprint: &f,
		In: strings.NewReader(ProfiledLine("cpu") + "\nBenchmarkEcho-2 \t100\t 5.0 ns/op\nPASS\nok  \texample.org/a\t1.0s\n")})
	require.NoError(t, err)
	assert.Contains(t, out.String(), "profiled (cpu) and is not comparable")
}
