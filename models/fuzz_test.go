package models_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"netbench/models"
	"netbench/models/servicetest"
)

// fuzzService checks on any input, in any pieces, that pieces make no
// difference and that no rule of a session is broken.
func fuzzService(f *testing.F, service models.Service, seeds ...string) {
	for _, seed := range seeds {
		for _, splits := range []string{"\x01", "\x02\x03", "\xff\x01", "\x07\x00\x40"} {
			f.Add([]byte(seed), []byte(splits))
		}
	}
	f.Fuzz(func(t *testing.T, input, splits []byte) {
		if _, err := servicetest.Compare(service, input, splits); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzEcho(f *testing.F) {
	fuzzService(f, models.Echo{}, "", "a", strings.Repeat("netbench", 100))
}

func FuzzFrame(f *testing.F) {
	fuzzService(f, models.Frame{Max: 300},
		frame("")+frame("hello")+frame(strings.Repeat("x", 300)),
		frame("a")+string(binary.BigEndian.AppendUint32(nil, 301))+"x",
		"\xff\xff\xff\xff", "\x00\x00")
}

func FuzzLine(f *testing.F) {
	fuzzService(f, models.Line{Now: fixed, Max: 20},
		"ping\r\ntime\nstatus\nhello you\n\n",
		"12345678901234567890\r\n123456789012345678901\n",
		"12345678901234567890\r\r\n", "ping\rpong\n \t\n")
}

func FuzzHTTP(f *testing.F) {
	const chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	fuzzService(f, models.HTTP{Now: fixed, MaxLine: 40, MaxHeader: 120, MaxBody: 50},
		"GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET /bytes/99 HTTP/1.1\r\nHost:\r\n\r\n",
		chunked+"5;e=f\r\nhello\r\n1\r\n!\r\n0\r\nT: u\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
		chunked+"5\r\nhelloXX", chunked+"33\r\n", chunked+strings.Repeat("1;eeeeeeeeeeeeeee\r\nx\r\n", 60),
		"GET http://a/?b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /"+strings.Repeat("a", 40)+" HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: "+strings.Repeat("b", 120),
		"GET / HTTP/1.1\n\n")
}

func FuzzSpinOfWaiting(f *testing.F) {
	fuzzService(f, models.Spin{Service: models.Waiting{Service: models.Frame{Max: 300}}, Iterations: 3},
		frame("")+frame("hello"), "\xff\xff\xff\xff")
}

// FuzzParseService checks that what parses is named so that it parses again, as
// the same service.
func FuzzParseService(f *testing.F) {
	for _, name := range []string{"echo", "frame+max=10", "line+spin=5", "http+line=20+body=10+wait=1.5s", "echo+", "+", "http+header=x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s, err := models.ParseService(name)
		if err != nil {
			return
		}
		again, err := models.ParseService(s.Name())
		if err != nil {
			t.Fatalf("%q is named %q: %v", name, s.Name(), err)
		}
		if again.Name() != s.Name() || again.Limits() != s.Limits() {
			t.Fatalf("%q is named %q, which parses as %q", name, s.Name(), again.Name())
		}
	})
}
