package peers

import "context"

// BuildAnew is Build without what this process has built before.
func BuildAnew(ctx context.Context, name string) (string, error) {
	building.Lock()
	delete(built, name)
	building.Unlock()
	return Build(ctx, name)
}
