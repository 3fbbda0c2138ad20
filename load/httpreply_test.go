package load

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readReplies feeds a parser with pieces of the input whose lengths are 1 more
// than the bytes of splits, in turn. It returns what became of each reply, and
// whether one is under way at the end. After a reply behind which the server
// closes, or a mismatch, it stops.
func readReplies(t *testing.T, input string, splits []byte, head bool) (outcomes []outcome, within bool) {
	t.Helper()
	var h httpReply
	rest := []byte(input)
	for i := 0; len(rest) > 0; i++ {
		n := len(rest)
		if len(splits) > 0 {
			n = min(n, int(splits[i%len(splits)])+1)
		}
		piece := rest[:n:n]
		rest = rest[n:]
		for len(piece) > 0 {
			n, out := h.receive(piece, head)
			require.LessOrEqual(t, n, len(piece))
			piece = piece[n:]
			switch out {
			case more:
				require.Empty(t, piece, "more was asked for before all was taken")
				continue
			case mismatch:
				return append(outcomes, out), false
			}
			outcomes = append(outcomes, out)
			if out == doneLast || out == doneLastBad {
				return outcomes, false
			}
			assert.Equal(t, httpReply{carry: h.carry[:0]}, h, "the next reply begins afresh")
		}
	}
	return outcomes, h.phase != httpHead || len(h.carry) > 0
}

func TestHTTPReplyIsParsedTheSameHoweverItIsSplit(t *testing.T) {
	for _, c := range httpCases {
		t.Run(c.name, func(t *testing.T) {
			input := c.reply
			if !c.hangUp {
				input += c.reply + c.reply
			}
			whole, within := readReplies(t, input, nil, c.method == "HEAD")
			if c.hangUp && strings.Contains(c.name, "until close") {
				require.Empty(t, whole)
				require.True(t, within, "only the end of the stream ends it")
			} else {
				want := []outcome{done, done, done}
				if c.hangUp {
					want = []outcome{doneLast}
				}
				require.Equal(t, want, whole)
				require.False(t, within)
			}
			for first := range len(input) {
				for _, then := range []byte{0, 1, 254} {
					got, stillWithin := readReplies(t, input, []byte{byte(min(first, 255)), then}, c.method == "HEAD")
					require.Equal(t, whole, got, "split after %d, then every %d", first+1, then+1)
					require.Equal(t, within, stillWithin)
				}
			}
		})
	}
}

func TestHTTPReplyTellsWhetherTheServerCloses(t *testing.T) {
	for head, want := range map[string]outcome{
		"HTTP/1.1 200 OK\r\n":                                                  done,
		"HTTP/1.1 200 OK\r\nConnection: close\r\n":                             doneLast,
		"HTTP/1.1 200 OK\r\nCONNECTION:CLOSE\r\n":                              doneLast,
		"HTTP/1.1 200 OK\r\nConnection: upgrade,  close \r\n":                  doneLast,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n":   doneLast,
		"HTTP/1.1 200 OK\r\nConnection: closed\r\nConnections: close\r\n":      done,
		"HTTP/1.0 200 OK\r\n":                                                  doneLast,
		"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n":                        done,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n":                 doneLast,
		"HTTP/1.1 500 No\r\n":                                                  doneBad,
		"HTTP/1.1 399 Yes\r\n":                                                 done,
		"HTTP/1.1 404\r\n":                                                     doneBad,
		"HTTP/1.1 503 No\r\nConnection: close\r\n":                             doneLastBad,
		"HTTP/1.1 103 Early\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n":   done,
		"HTTP/1.1 200 OK\r\nX: Connection: close\r\nTransfer-Encodings: x\r\n": done,
	} {
		got, _ := readReplies(t, head+"Content-Length: 0\r\n\r\n", nil, false)
		assert.Equal(t, []outcome{want}, got, head)
	}
}

func TestMalformedHTTPRepliesAreMismatches(t *testing.T) {
	long := strings.Repeat("x", maxHead)
	for name, input := range map[string]string{
		"another protocol":          "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"HTTP/2":                    "HTTP/2.0 200 OK\r\n\r\n",
		"no status":                 "HTTP/1.1 OK\r\n\r\n",
		"status of two digits":      "HTTP/1.1 20x OK\r\n\r\n",
		"bare line feed":            "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
		"length is no number":       "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
		"length is empty":           "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"length is negative":        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"length overflows":          "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"two lengths":               "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"chunk size is no number":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n",
		"chunk size is empty":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"chunk size overflows":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
		"chunk is longer than said": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
		"endless header":            "HTTP/1.1 200 OK\r\nX: " + long,
		"header too long":           "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n",
		"endless chunk size":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + long,
		"garbage behind a reply":    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabcdefghijklmnopqr\r\n\r\n",
	} {
		for _, splits := range [][]byte{nil, {0}, {100}} {
			got, _ := readReplies(t, input, splits, false)
			require.NotEmpty(t, got, name)
			assert.Equal(t, mismatch, got[len(got)-1], name)
		}
	}
}

func TestHTTPHeadOfTheLargestSizeIsTaken(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
	head += strings.Repeat("x", maxHead-len(head)-4) + "\r\n\r\n"
	for _, splits := range [][]byte{nil, {0}, {255}} {
		got, _ := readReplies(t, head+head, splits, false)
		assert.Equal(t, []outcome{done, done}, got)
	}
	longer := strings.Replace(head, "X: ", "X: x", 1)
	for _, splits := range [][]byte{nil, {0}, {255}} {
		got, _ := readReplies(t, longer, splits, false)
		assert.Equal(t, []outcome{mismatch}, got)
	}
}

func FuzzHTTPReply(f *testing.F) {
	for _, c := range httpCases {
		f.Add(c.reply+c.reply, []byte{0}, c.method == "HEAD")
		f.Add(c.reply, []byte{3, 0, 7}, c.method == "HEAD")
	}
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", []byte{1}, false)
	f.Fuzz(func(t *testing.T, input string, splits []byte, head bool) {
		whole, within := readReplies(t, input, nil, head)
		got, stillWithin := readReplies(t, input, splits, head)
		assert.Equal(t, whole, got)
		assert.Equal(t, within, stillWithin)
	})
}
