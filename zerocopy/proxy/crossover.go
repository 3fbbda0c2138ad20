package proxy

import (
	"cmp"
	"math"
	"slices"
)

// Point is what one size of message showed: the cost of a way over that of another.
type Point struct {
	Size   int     // bytes
	Ratio  float64 // more than 1 where the way is the dearer one
	Lo, Hi float64 // ends of the interval of Ratio
}

// Crossing is where a way begins to be worth it.
type Crossing struct {
	// Size is the size of message, in bytes, from which on the ratio is below 1: the
	// place between two measured sizes at which ln(ratio), drawn as a straight line
	// over ln(size), is 0. It is not known more exactly than the two sizes lie apart.
	Size float64

	// Dearer is the largest measured size at which the way is dearer beyond doubt
	// (Lo above 1), and Cheaper the smallest from which on, at every measured size, it
	// is cheaper beyond doubt (Hi below 1); 0 where there is none.
	Dearer, Cheaper int
}

// Crossover finds where the ratios of the points, which are of different sizes, go
// below 1 for good. ok is false if they do not: if the way is dearer at the largest
// size, or cheaper at all of them, in which case Cheaper tells from which on.
func Crossover(points []Point) (c Crossing, ok bool) {
	points = slices.Clone(points)
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.Size, b.Size) })
	last := -1 // the last point at which the way is not cheaper
	for i, p := range points {
		if p.Ratio >= 1 {
			last = i
		}
		if p.Lo > 1 {
			c.Dearer = p.Size
		}
		switch {
		case p.Hi >= 1:
			c.Cheaper = 0
		case c.Cheaper == 0:
			c.Cheaper = p.Size
		}
	}
	if last < 0 || last == len(points)-1 {
		return c, false
	}
	a, b := points[last], points[last+1]
	share := math.Log(a.Ratio) / (math.Log(a.Ratio) - math.Log(b.Ratio))
	c.Size = float64(a.Size) * math.Pow(float64(b.Size)/float64(a.Size), share)
	return c, true
}
