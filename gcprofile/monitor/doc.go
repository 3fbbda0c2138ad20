// Package monitor watches the memory of the program that it is in: its heap, its
// goroutines, the pauses of its collector and how fast it allocates, and tells when
// one of them goes beyond a threshold.
//
// Four ideas make its figures true and its cost small.
//
// What it reads comes from package runtime/metrics, which reads counters and does not
// stop the world, as runtime.ReadMemStats does. The price is that each processor hands
// in its count of allocated bytes with some delay, so that the figure of an interval
// may be wrong by some ten KiB.
//
// What is a rate is made of the difference of two samples over the time that really
// passed between them, and what is a percentile of pauses is made of the difference of
// two histograms: totals since the start would complain for ever of a trouble that is
// over, and would hide a new one among old good days.
//
// A rule speaks when it is first broken, then at most once in Repeat, and once more
// when it is kept again. That takes some room below the threshold (Hysteresis), so a
// figure that wavers about it does not make a flood.
//
// Nobody has to listen. An alert that nobody takes fills a queue; when that is full,
// further ones are dropped and counted, and sampling goes on.
//
//	m, err := monitor.New(monitor.Config{})
//	alerts, err := m.Start(ctx)
//	go func() {
//		for a := range alerts { // ends after Stop
//			log.Print(a)
//		}
//	}()
//	defer m.Stop()
//
// A [Monitor] is a collector of Prometheus as well: what is scraped are the figures of
// the last sample, the same that its rules saw.
package monitor
