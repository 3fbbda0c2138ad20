package strategies

import (
	"context"
	"errors"
	"fmt"

	"netbench/pools"
)

// A Strategy makes a kind of pool of another. Open of the new kind may take as
// long as connecting takes.
type Strategy struct {
	Name string
	Of   func(pools.Kind) pools.Kind
}

// All are the three strategies, the last one with the given checks.
func All(c Check) []Strategy {
	return []Strategy{
		{"lazy", Lazy},
		{"warmed", Warmed},
		{"checked", func(k pools.Kind) pools.Kind { return Checked(k, c) }},
	}
}

// Lazy is k as it is: its pools open connections when they are needed.
func Lazy(k pools.Kind) pools.Kind { return lazy{k} }

type lazy struct{ pools.Kind }

func (l lazy) Name() string { return l.Kind.Name() + "-lazy" }

// Warmed opens all connections of a pool, or as many as it keeps idle, when the pool
// is opened, which fails if one cannot be.
func Warmed(k pools.Kind) pools.Kind { return warmed{k} }

type warmed struct{ pools.Kind }

func (w warmed) Name() string { return w.Kind.Name() + "-warmed" }

func (w warmed) Open(ctx context.Context, size int) (pools.Pool, error) {
	p, _, err := openWarm(ctx, w.Kind, size)
	return p, err
}

// openWarm opens a pool, and n of its connections.
func openWarm(ctx context.Context, k pools.Kind, size int) (p pools.Pool, n int, err error) {
	if p, err = k.Open(ctx, size); err != nil {
		return nil, 0, err
	}
	if n, err = pools.WarmUp(ctx, p, size); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("warm a %s pool of %d: %w", k.Name(), size, err), p.Close())
	}
	return p, n, nil
}
