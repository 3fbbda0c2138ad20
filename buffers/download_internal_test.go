package buffers

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fed is a download that reads what a test writes.
func fed(t *testing.T, n int64, text []byte) *Download {
	t.Helper()
	here, there := net.Pipe()
	d := &Download{conn: here, room: make([]byte, 512), order: Order{Bytes: n}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = there.Write(text)
		_ = there.Close()
	}()
	t.Cleanup(func() {
		_ = here.Close()
		<-done
	})
	return d
}

func TestVerifyFindsAByteThatIsWrongLostOrThereTwice(t *testing.T) {
	const n = 100_000
	right := bytes.Clone(patternAt(0, n))
	flipped := bytes.Clone(right)
	flipped[77_777] ^= 1
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"right":   {right, ""},
		"flipped": {flipped, "wrong bytes"},
		"lost":    {append(bytes.Clone(right[:40_000]), patternAt(40_001, n-40_000)...), "wrong bytes"},
		"twice":   {append(bytes.Clone(right[:40_000]), patternAt(39_999, n-40_000)...), "wrong bytes"},
		"short":   {right[:n-1], "1 bytes before their end"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fed(t, n, c.text).Verify(n)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestVerifyFindsWhatWasLostWhileNobodyLooked(t *testing.T) {
	const n = 50_000
	text := append(bytes.Clone(patternAt(0, 10_000)), patternAt(10_001, n-10_000)...)
	d := fed(t, n, text)
	require.NoError(t, d.Take(20_000))
	assert.ErrorContains(t, d.Verify(20_000), "wrong bytes")
}

func TestTakeForFailsWhenTheOrderEndsBefore(t *testing.T) {
	d := fed(t, 1000, patternAt(0, 1000))
	n, err := d.TakeFor(10 * time.Second)
	assert.EqualValues(t, 1000, n)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestThePatternRepeatsAtItsPrimeLength(t *testing.T) {
	assert.Equal(t, patternAt(5, 1000), patternAt(5+3*patternLen, 1000))
	assert.Equal(t, patternAt(0, maxRecord)[patternLen:], patternAt(patternLen, maxRecord-patternLen))
	assert.NotEqual(t, patternAt(0, 1000), patternAt(1, 1000))
	assert.Len(t, patternAt(patternLen-1, maxRecord), maxRecord)
}

// A peer may say that a note is long; nothing is allocated for it.
func TestANoteIsBounded(t *testing.T) {
	var into granted
	assert.ErrorContains(t, readNote(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), &into), "at most 4096")
	assert.ErrorIs(t, readNote(bytes.NewReader(nil), &into), io.EOF)
	assert.ErrorIs(t, readNote(bytes.NewReader([]byte{0, 0, 0, 5, '{'}), &into), io.ErrUnexpectedEOF)
	assert.Error(t, readNote(bytes.NewReader([]byte{0, 0, 0, 1, '{'}), &into))
	assert.ErrorContains(t, writeNote(io.Discard, granted{Error: string(make([]byte, maxNote))}), "at most 4096")
	var b bytes.Buffer
	require.NoError(t, writeNote(&b, granted{Error: "no"}))
	b.WriteString("rest")
	require.NoError(t, readNote(&b, &into))
	assert.Equal(t, "no", into.Error)
	assert.Equal(t, "rest", b.String(), "not a byte more is read")
}

func FuzzReadNote(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 13, '{', '"', 'b', 'y', 't', 'e', 's', '"', ':', '1', '2', '3', '}'})
	f.Add([]byte{0, 0, 16, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		var o Order
		if readNote(r, &o) != nil || o.check() != nil {
			return
		}
		assert.LessOrEqual(t, len(text)-r.Len(), 4+maxNote)
		assert.Positive(t, o.Bytes)
		assert.Positive(t, o.Record)
	})
}
