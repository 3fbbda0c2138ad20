package httppool_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	nethttp "net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/proc"
	"netbench/models/goroutine"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	testenv.Main(goroutine.Models(), tlsServer)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// tlsSpec is the specification of a server that speaks TLS.
type tlsSpec struct {
	HTTP2 bool
}

// tlsInfo is what it says when it is ready.
type tlsInfo struct {
	Addr string
	Cert string // its own, in PEM, signed by itself
}

// tlsServer serves HTTP over TLS with the server of net/http: no model of this
// laboratory speaks TLS.
var tlsServer = proc.Role{Name: "tls-server", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var spec tlsSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	cert, text, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &nethttp.Server{
		Handler:           routes(),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // of clients that hang up
		Protocols:         new(nethttp.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(spec.HTTP2)
	served := make(chan error, 1)
	go func() { served <- s.ServeTLS(l, "", "") }()
	if err := ch.Ready(tlsInfo{l.Addr().String(), text}); err != nil {
		return err
	}
	<-ctx.Done()
	err = s.Close()
	if e := <-served; !errors.Is(e, nethttp.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}}

// routes is what the server of TLS, and those of tests in this process, answer.
//
//	/plaintext          Hello, World!
//	/status/N           status N, with a body of 1 KiB
//	/bytes/N            N bytes
//	/wait/D             after a time D, Hello, World!
//	/stream             a line now, and no end before the client goes
//	/broken             a body that ends early
func routes() nethttp.Handler {
	mux := nethttp.NewServeMux()
	hello := func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = io.WriteString(w, "Hello, World!") }
	mux.HandleFunc("/plaintext", hello)
	mux.HandleFunc("/status/{n}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		w.WriteHeader(n)
		_, _ = w.Write(make([]byte, 1<<10))
	})
	mux.HandleFunc("/bytes/{n}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	})
	mux.HandleFunc("/wait/{d}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		d, _ := time.ParseDuration(r.PathValue("d"))
		select {
		case <-time.After(d):
			hello(w, r)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/stream", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, _ = io.WriteString(w, "event\n")
		w.(nethttp.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/broken", func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "not all")
		w.(nethttp.Flusher).Flush()
		panic(nethttp.ErrAbortHandler)
	})
	return mux
}

// selfSigned makes a certificate for 127.0.0.1, and its text in PEM.
func selfSigned() (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text), nil
}

// target is a server in a process of its own, and how to reach it.
type target struct {
	url   string // of /plaintext
	base  string // without a path
	trust *tls.Config
	tcp   *testenv.Server // nil where it speaks TLS
}

// startTCP starts the goroutine model's HTTP server.
func startTCP(t testing.TB, cpus []int) target {
	t.Helper()
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: goroutine.Name, Service: "http", CPUs: cpus, StartTimeout: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	base := "http://" + s.Addr()
	return target{url: base + "/plaintext", base: base, tcp: s}
}

// startTLS starts the server that speaks TLS.
func startTLS(t testing.TB, cpus []int, spec tlsSpec) target {
	t.Helper()
	child, err := proc.Start(t.Context(), proc.Options{
		Role: tlsServer.Name, Spec: spec, CPUs: cpus, StartTimeout: time.Minute, Log: testLog{t},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, child.Kill()) })
	var info tlsInfo
	require.NoError(t, json.Unmarshal(child.Info(), &info))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(info.Cert)))
	base := "https://" + info.Addr
	return target{url: base + "/plaintext", base: base, trust: &tls.Config{RootCAs: roots}}
}

// testLog is the log of a child.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("server: %s", p)
	return len(p), nil
}
