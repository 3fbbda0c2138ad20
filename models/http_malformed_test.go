package models_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"netbench/models"
)

// TestHTTPRefusesWhatItCannotTrust feeds requests that are malformed, ambiguous
// or too large. Each gets one error, nothing after it is answered, and the
// connection closes.
func TestHTTPRefusesWhatItCannotTrust(t *testing.T) {
	const (
		get     = "GET / HTTP/1.1\r\n" + hostLine
		post    = "POST /echo HTTP/1.1\r\n" + hostLine
		chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	)
	for _, c := range []struct {
		name, input string
		status      int
	}{
		{"garbage", "\x16\x03\x01\x02\x00\n", 400},
		{"no version", "GET /\r\n", 400},
		{"empty target", "GET  HTTP/1.1\r\n", 400},
		{"two spaces", "GET  / HTTP/1.1\r\n", 400},
		{"space after version", "GET / HTTP/1.1 \r\n", 400},
		{"space before method", " GET / HTTP/1.1\r\n", 400},
		{"tab for space", "GET\t/\tHTTP/1.1\r\n", 400},
		{"bad method", "G(T / HTTP/1.1\r\n", 400},
		{"space in target", "GET /a b HTTP/1.1\r\n", 400},
		{"control in target", "GET /\x01 HTTP/1.1\r\n", 400},
		{"CR in target", "GET /\r HTTP/1.1\r\n", 400},
		{"target beyond ASCII", "GET /\xc3\xa4 HTTP/1.1\r\n", 400},
		{"relative target", "GET plaintext HTTP/1.1\r\n", 400},
		{"asterisk for GET", "GET * HTTP/1.1\r\n", 400},
		{"foreign scheme", "GET ftp://localhost/ HTTP/1.1\r\n", 400},
		{"URL without a host", "GET http:///plaintext HTTP/1.1\r\n", 400},
		{"LF alone after request line", "GET / HTTP/1.1\n", 400},
		{"LF alone first", "\nGET / HTTP/1.1\r\n", 400},
		{"lower-case version", "GET / http/1.1\r\n", 400},
		{"version of two digits", "GET / HTTP/1.10\r\n", 400},
		{"version of no digit", "GET / HTTP/1.x\r\n", 400},
		{"version 0.9", "GET / HTTP/0.9\r\n", 505},
		{"version 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"version 3", "GET / HTTP/3.0\r\n", 505},

		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two hosts", get + hostLine + "\r\n", 400},
		{"two hosts in 1.0", "GET / HTTP/1.0\r\n" + hostLine + hostLine + "\r\n", 400},
		{"bad host", "GET / HTTP/1.1\r\nHost: a/b\r\n", 400},
		{"host list", "GET / HTTP/1.1\r\nHost: a b\r\n", 400},

		{"LF alone after field", get + "A: b\n", 400},
		{"LF alone at the end", get + "A: b\r\n\n", 400},
		{"no colon", get + "A\r\n", 400},
		{"no name", get + ": b\r\n", 400},
		{"space before colon", get + "A : b\r\n", 400},
		{"length with space before colon", post + "Content-Length : 5\r\n", 400},
		{"folded field", get + "A: b\r\n c\r\n", 400},
		{"space before first field", "GET / HTTP/1.1\r\n Host: a\r\n", 400},
		{"NUL in value", get + "A: b\x00c\r\n", 400},
		{"CR in value", get + "A: b\rc\r\n", 400},
		{"CR before CRLF", get + "A: b\r\r\n", 400},
		{"control in name", get + "A\x0b: b\r\n", 400},

		{"empty length", post + "Content-Length:\r\n", 400},
		{"signed length", post + "Content-Length: +5\r\n", 400},
		{"negative length", post + "Content-Length: -5\r\n", 400},
		{"hexadecimal length", post + "Content-Length: 0x5\r\n", 400},
		{"list of lengths", post + "Content-Length: 5, 5\r\n", 400},
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"different lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
		{"length and chunks", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunks and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
		{"length and unknown coding", post + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n", 400},
		{"chunks in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n", 400},
		{"chunked in two fields", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
		{"chunked not last", post + "Transfer-Encoding: chunked, gzip\r\n", 400},
		{"empty coding", post + "Transfer-Encoding:\r\n", 400},
		{"empty coding in list", post + "Transfer-Encoding: ,chunked\r\n", 400},
		{"unknown coding", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"identity", post + "Transfer-Encoding: identity\r\n\r\n", 501},
		{"almost chunked", post + "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{"control before chunked", post + "Transfer-Encoding: \x0bchunked\r\n", 400},

		{"chunk without size", chunked + "\r\n", 400},
		{"chunk size no number", chunked + "x\r\n", 400},
		{"chunk size with sign", chunked + "+1\r\n", 400},
		{"chunk size with prefix", chunked + "0x1\r\n", 400},
		{"chunk size with space before", chunked + " 1\r\n", 400},
		{"chunk size with space after", chunked + "1 \r\n", 400},
		{"chunk size with LF alone", chunked + "1\na\r\n", 400},
		{"CR in chunk extension", chunked + "1;a\rb\r\n", 400},
		{"chunk longer than its size", chunked + "1\r\nabc", 400},
		{"chunk ends in LF", chunked + "1\r\na\n1", 400},
		{"chunk line too long", chunked + "1;" + strings.Repeat("a", 1024), 400},
		{"trailer without colon", chunked + "0\r\nA\r\n", 400},
		{"trailer with LF alone", chunked + "0\r\nA: b\n", 400},
		{"trailers too long", chunked + "0\r\nA: " + strings.Repeat("b", 8192), 431},

		{"body too long", post + "Content-Length: 1048577\r\n\r\n", 413},
		{"body far too long", post + "Content-Length: 99999999999999999999999999\r\n\r\n", 413},
		{"body 2^64+5 long", post + "Content-Length: 18446744073709551621\r\n\r\nhello", 413},
		{"chunk too long", chunked + "100001\r\n", 413},
		{"chunk far too long", chunked + "ffffffffffffffffff\r\n", 413},
		{"chunk 2^64+1 long", chunked + "10000000000000001\r\na\r\n0\r\n\r\n", 413},
		{"chunks too long together", chunked + "1\r\na\r\n100000\r\n", 413},
		{"request line too long", "GET /" + strings.Repeat("a", 4096), 414},
		{"head too long", get + "A: " + strings.Repeat("b", 8192), 431},
		{"too many fields", get + strings.Repeat("A: b\r\n", 1400), 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			input := c.input + "GET /plaintext HTTP/1.1\r\n" + hostLine + "\r\n"
			o := talk(t, models.HTTP{Now: fixed}, input)
			got, _ := replies(t, o.Output, "GET")
			assert.Equal(t, c.status, got[0].StatusCode)
			assert.True(t, got[0].Close, "the reply says that the connection closes")
			assert.True(t, o.Closed)
			assert.LessOrEqual(t, o.Consumed, len(c.input)+2, "nothing after it is looked at")
		})
	}
}

func TestHTTPAcceptsWhatIsJustWithinItsLimits(t *testing.T) {
	service := models.HTTP{Now: fixed, MaxLine: 60, MaxHeader: 200, MaxBody: 100}
	line := "POST /echo?" + strings.Repeat("q", 40) + " HTTP/1.1\r\n"
	assert.Len(t, line, 62)
	pad := func(bytes int) string { return line + hostLine + "A: " + strings.Repeat("b", bytes) + "\r\n" }
	const length, coding = "Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"
	room := 200 - len(pad(0))
	for _, c := range []struct {
		name, input string
		status      int
	}{
		{"all that fits", pad(room-len(length)) + length + strings.Repeat("x", 100), 200},
		{"a byte more in the head", pad(room-len(length)+1) + length, 431},
		{"a byte more in the line", "POST /echo?q" + line[11:], 414},
		{"a byte more in the body", line + hostLine + "Content-Length: 101\r\n\r\n", 413},
		{"chunks and trailers that fit", pad(room-len(coding)) + coding + "64\r\n" + strings.Repeat("x", 100) + "\r\n0\r\nT: " + strings.Repeat("t", 193) + "\r\n\r\n", 200},
		{"a byte more in the trailers", pad(room-len(coding)) + coding + "0\r\nT: " + strings.Repeat("t", 194) + "\r\n\r\n", 431},
		{"many small chunks", line + hostLine + coding + strings.Repeat("1\r\nx\r\n", 100) + "0\r\n\r\n", 200},
		{"chunks that are framing above all", line + hostLine + coding + strings.Repeat("1;"+strings.Repeat("e", 20)+"\r\nx\r\n", 100) + "0\r\n\r\n", 413},
	} {
		o := talk(t, service, c.input)
		got, _ := replies(t, o.Output, "POST")
		assert.Equal(t, c.status, got[0].StatusCode, c.name)
		assert.Equal(t, c.status != 200, o.Closed, c.name)
	}
}
