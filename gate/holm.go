package gate

import (
	"cmp"
	"slices"
)

// Holm adjusts p-values for their number: to reject each whose adjusted value is
// at most alpha is to reject a true hypothesis, one or more, with a probability of
// at most alpha, however they depend on each other (Holm, Scandinavian Journal of
// Statistics 6, 1979). The result is in the order of p.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	least := 0.0
	for done, i := range order {
		least = max(least, min(1, float64(len(p)-done)*p[i]))
		adjusted[i] = least
	}
	return adjusted
}
