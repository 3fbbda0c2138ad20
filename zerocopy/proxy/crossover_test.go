package proxy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"netbench/zerocopy/proxy"
)

// around makes a point with an interval of 5 % either way.
func around(size int, ratio float64) proxy.Point {
	return proxy.Point{Size: size, Ratio: ratio, Lo: ratio * 0.95, Hi: ratio * 1.05}
}

func TestCrossoverIsWhereTheRatioGoesBelowOneForGood(t *testing.T) {
	for name, c := range map[string]struct {
		points []proxy.Point
		want   proxy.Crossing
		ok     bool
	}{
		"halfway on a logarithmic scale": {
			points: []proxy.Point{around(1024, 1.25), around(4096, 0.8)},
			want:   proxy.Crossing{Size: 2048, Dearer: 1024, Cheaper: 4096}, ok: true,
		},
		"in any order of points": {
			points: []proxy.Point{around(4096, 0.8), around(64, 2), around(1024, 1.25)},
			want:   proxy.Crossing{Size: 2048, Dearer: 1024, Cheaper: 4096}, ok: true,
		},
		"exactly at a size": {
			points: []proxy.Point{around(64, 1.5), around(1024, 1), around(4096, 0.5)},
			want:   proxy.Crossing{Size: 1024, Dearer: 64, Cheaper: 4096}, ok: true,
		},
		"the last time, if it goes below one twice": {
			points: []proxy.Point{around(64, 0.8), around(1024, 1.25), around(4096, 0.8)},
			want:   proxy.Crossing{Size: 2048, Dearer: 1024, Cheaper: 4096}, ok: true,
		},
		"nowhere, as it is always dearer": {
			points: []proxy.Point{around(64, 2), around(1024, 1.5)},
			want:   proxy.Crossing{Dearer: 1024},
		},
		"nowhere, as it is always cheaper": {
			points: []proxy.Point{around(64, 0.5), around(1024, 0.4)},
			want:   proxy.Crossing{Cheaper: 64},
		},
		"somewhere, but beyond doubt nowhere": {
			points: []proxy.Point{around(64, 1.01), around(1024, 0.99)},
			want:   proxy.Crossing{Size: 256}, ok: true,
		},
		"nowhere without points": {},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := proxy.Crossover(c.points)
			assert.Equal(t, c.ok, ok)
			assert.InDelta(t, c.want.Size, got.Size, 0.03*c.want.Size)
			assert.Equal(t, c.want.Dearer, got.Dearer)
			assert.Equal(t, c.want.Cheaper, got.Cheaper)
		})
	}
}
