//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"sync/atomic"

	"netbench/models"
)

// counts is what a loop has counted, as in [models.Stats].
type counts struct {
	Accepted, Rejected, AcceptErrors, IdleClosed, ConnErrors, Paused, BytesIn, BytesOut uint64
	Active                                                                              int64
}

// published are a loop's counts for others to read.
type published struct {
	accepted, rejected, acceptErrors, idleClosed, connErrors, paused, bytesIn, bytesOut atomic.Uint64
	active                                                                              atomic.Int64
}

// set publishes counts. It is called once a batch, so that counting costs no
// atomic operation for each request.
func (p *published) set(c *counts) {
	p.accepted.Store(c.Accepted)
	p.active.Store(c.Active)
	p.rejected.Store(c.Rejected)
	p.acceptErrors.Store(c.AcceptErrors)
	p.idleClosed.Store(c.IdleClosed)
	p.connErrors.Store(c.ConnErrors)
	p.paused.Store(c.Paused)
	p.bytesIn.Store(c.BytesIn)
	p.bytesOut.Store(c.BytesOut)
}

func (p *published) addTo(total *models.Stats) {
	total.Accepted += p.accepted.Load()
	total.Active += p.active.Load()
	total.Rejected += p.rejected.Load()
	total.AcceptErrors += p.acceptErrors.Load()
	total.IdleClosed += p.idleClosed.Load()
	total.ConnErrors += p.connErrors.Load()
	total.Paused += p.paused.Load()
	total.BytesIn += p.bytesIn.Load()
	total.BytesOut += p.bytesOut.Load()
}
