package files

import (
	"net/http"
	"time"
)

// NewServer is an HTTP server with the time limits that suit a service: headers have
// to come within 10 s, and a connection waits for the next request for a minute.
// There is none on a whole request or answer, as the service sets its own. Headers
// may have 64 KiB.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
