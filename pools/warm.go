package pools

import "context"

// WarmUp opens as many connections of p, a pool of a size, as it keeps idle, and
// returns how many it asked for. All are tried first; a pool that refuses, since
// its settings keep fewer, is asked for half, and so on. The error is that of the
// first try, if a single connection fails too.
func WarmUp(ctx context.Context, p Pool, size int) (n int, err error) {
	for n = size; n > 0; n /= 2 {
		e := p.Warm(ctx, n)
		if e == nil {
			return n, nil
		}
		if err == nil {
			err = e
		}
		if ctx.Err() != nil {
			break
		}
	}
	return 0, err
}
