package pools_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"netbench/pools"
)

// keeper is a pool that keeps so many connections idle.
type keeper struct {
	pools.Pool
	most  int
	asked []int
}

func (k *keeper) Warm(_ context.Context, n int) error {
	k.asked = append(k.asked, n)
	if n > k.most {
		return fmt.Errorf("%d are too many", n)
	}
	return nil
}

func TestWarmingUpAsksForFewerWhereAPoolKeepsFewer(t *testing.T) {
	for _, tc := range []struct {
		size, most, want int
		asked            []int
	}{
		{10, 10, 10, []int{10}},
		{10, 5, 5, []int{10, 5}},
		{25, 12, 12, []int{25, 12}},
		{20, 3, 2, []int{20, 10, 5, 2}},
		{1, 1, 1, []int{1}},
	} {
		k := &keeper{most: tc.most}
		n, err := pools.WarmUp(t.Context(), k, tc.size)
		assert.NoError(t, err)
		assert.Equal(t, tc.want, n)
		assert.Equal(t, tc.asked, k.asked)
	}
}

func TestWarmingUpFailsWithTheFirstError(t *testing.T) {
	n, err := pools.WarmUp(t.Context(), &keeper{}, 4)
	assert.EqualError(t, err, "4 are too many")
	assert.Zero(t, n)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	k := &keeper{}
	_, err = pools.WarmUp(ctx, k, 4)
	assert.Error(t, err)
	assert.Equal(t, []int{4}, k.asked, "no more is tried")
}
