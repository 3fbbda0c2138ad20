package flight

import (
	"net/http"
	"time"

	"netbench/models"
)

// Middleware observes each request from the call of next to its return. What next hands
// out of itself, such as a hijacked connection, is not waited for. The ResponseWriter is
// passed on as it is.
func (r *Recorder) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		defer func() { r.Observe(req.Method+" "+req.URL.Path, time.Since(began)) }()
		next.ServeHTTP(w, req)
	})
}

// Service observes each step of a service, and its work where it blocks: the time that
// the service takes to answer, without that in the model's queues. A step that is slow
// because its goroutine was not scheduled counts as slow, which the trace shows.
func (r *Recorder) Service(s models.Service) models.Service { return service{s, r} }

type service struct {
	models.Service
	r *Recorder
}

// Prepare prepares what is observed; embedding shows no more of it than a Service has.
func (s service) Prepare() error { return models.Prepare(s.Service) }

func (s service) Open() models.Session {
	inner := s.Service.Open()
	observed := session{inner, &s}
	if b, blocks := inner.(models.Blocker); blocks {
		return blocker{observed, b}
	}
	return observed
}

type session struct {
	models.Session
	s *service
}

func (o session) Step(in, out []byte) (int, []byte, models.Next) {
	began := time.Now()
	consumed, reply, next := o.Session.Step(in, out)
	o.s.r.Observe("a step of "+o.s.Name(), time.Since(began))
	return consumed, reply, next
}

// blocker is a session that may ask to block. It has Work only if the inner one has.
type blocker struct {
	session
	inner models.Blocker
}

func (o blocker) Work(in, out []byte) (int, []byte, models.Next) {
	began := time.Now()
	consumed, reply, next := o.inner.Work(in, out)
	o.s.r.Observe("work of "+o.s.Name(), time.Since(began))
	return consumed, reply, next
}
