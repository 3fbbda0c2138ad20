package reuseport

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// limit bounds one measurement.
const limit = time.Minute

// supported tells whether this platform spreads connections over listeners.
var supported = slices.Contains([]string{"linux", "freebsd"}, runtime.GOOS)

// spreadModels are those whose spread is measured.
func spreadModels() (names []string) {
	for over := range kinds {
		names = append(names, nameOf("reuseport", Over(over), false))
		if runtime.GOOS == "linux" {
			names = append(names, nameOf("prefork", Over(over), false))
		}
	}
	return names
}

// M4: closed-loop echo.
func BenchmarkEcho(b *testing.B) { scenario.Benchmark(b, Scenarios()) }

// Dial, exchange, close, rest: what accepting in several places is worth.
func BenchmarkConnect(b *testing.B) { scenario.Benchmark(b, Scenarios()) }

// How evenly 10,000 connections land on the listeners. An operation is one
// measurement, with a fresh server; figures are means over the operations.
func BenchmarkSpread(b *testing.B) {
	const conns = 10_000
	if why := (scenario.Scenario{Plan: load.Plan{Conns: conns}}).Missing(); why != "" {
		b.Skip(why)
	}
	if !supported {
		b.Skip("this platform does not spread connections over listeners")
	}
	for _, model := range spreadModels() {
		for _, listeners := range []int{2, 4, 8} {
			b.Run(fmt.Sprintf("model=%s/listeners=%d/conns=%d", model, listeners, conns), func(b *testing.B) {
				var most, least, variation, square float64
				for range b.N {
					ctx, cancel := context.WithTimeout(context.Background(), limit)
					d, err := Measure(ctx, testenv.ServerSpec{Model: model, Service: "echo", Config: models.Config{Listeners: listeners}}, conns)
					cancel()
					if err != nil {
						b.Fatal(err)
					}
					most += d.MaxOverMean()
					least += d.MinOverMean()
					variation += d.Variation()
					square += d.ChiSquare()
				}
				n := float64(b.N)
				b.ReportMetric(0, "ns/op") // the time of a measurement says nothing
				b.ReportMetric(most/n, "max/mean")
				b.ReportMetric(least/n, "min/mean")
				b.ReportMetric(variation/n, "cv")
				b.ReportMetric(square/n, "chi2")
			})
		}
	}
}
