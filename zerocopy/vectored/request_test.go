package vectored

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseReadsOneRequestAndLeavesTheNext(t *testing.T) {
	for in, want := range map[string]request{
		"GET /bytes/64 HTTP/1.1\r\n\r\n":                                {size: 64, parts: 1},
		"GET /bytes/0 HTTP/1.1\r\nHost: a\r\n\r\n":                      {size: 0, parts: 1},
		"GET /bytes/1048576/4096 HTTP/1.1\r\nHost: a\r\n\r\n":           {size: MaxBody, parts: MaxParts},
		"GET /bytes/7 HTTP/1.1\r\nCONNECTION:close\r\n\r\n":             {size: 7, parts: 1, last: true},
		"GET /bytes/7 HTTP/1.1\r\nConnection: keep-alive\r\nA:\r\n\r\n": {size: 7, parts: 1},
	} {
		r, n, err := parse([]byte(in + "GET /by"))
		require.NoError(t, err, "%q", in)
		assert.Equal(t, want, r, "%q", in)
		assert.Equal(t, len(in), n, "%q", in)
		for i := range len(in) {
			_, _, err := parse([]byte(in[:i]))
			assert.Equal(t, errPartial, err, "the first %d bytes of %q", i, in)
		}
	}
}

func TestPartsOfAReplyMakeUpTheBodyAndNoneIsEmpty(t *testing.T) {
	var p reply
	for _, size := range []int{0, 1, 5, 1000, 65536} {
		for _, parts := range []int{1, 3, 16, MaxParts} {
			p.fill(request{size: size, parts: parts})
			assert.Len(t, p.parts, 1+min(parts, size), "%d bytes in %d parts", size, parts)
			assert.Len(t, p.header, HeaderLen(size))
			assert.Equal(t, p.header, p.parts[0])
			assert.True(t, bytes.Equal(content()[:size], bytes.Join(p.parts[1:], nil)))
			for _, part := range p.parts {
				assert.NotEmpty(t, part)
			}
		}
	}
}

// FuzzParse holds parse to what it promises of any input: it never consumes what it
// was not given, its result depends on the head alone, and sizes are within bounds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"GET /bytes/64 HTTP/1.1\r\n\r\n", "GET /bytes/64/2 HTTP/1.1\r\nConnection: close\r\n\r\nrest",
		"GET /bytes/ HTTP/1.1\r\n\r\n", "\r\n\r\n", "POST", "GET /bytes/1 HTTP/1.1\r\n:\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		r, n, err := parse(in)
		assert.Equal(t, before, in)
		if err != nil {
			var refused refusal
			assert.True(t, err == errPartial || errors.As(err, &refused), "%v", err)
			assert.Zero(t, n)
			return
		}
		require.LessOrEqual(t, n, len(in))
		assert.LessOrEqual(t, n, maxHead)
		assert.True(t, r.size >= 0 && r.size <= MaxBody && r.parts >= 1 && r.parts <= MaxParts, "%+v", r)
		again, m, err := parse(in[:n])
		require.NoError(t, err)
		assert.Equal(t, r, again)
		assert.Equal(t, n, m)
		assert.Contains(t, string(in[:n]), "/bytes/")
	})
}
