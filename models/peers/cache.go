package peers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// executable is what the names of programs end in.
var executable = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// cacheDir makes the directory of the programs of one checkout.
func cacheDir(root string) (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w (set HOME or XDG_CACHE_HOME)", ErrUnavailable, err)
	}
	dir := filepath.Join(user, "netbench", "peers", fmt.Sprintf("%x", sha256.Sum256([]byte(root)))[:16])
	return dir, os.MkdirAll(dir, 0o700)
}

// lockPause is the time between two attempts to get the lock.
const lockPause = 50 * time.Millisecond

// lock waits until no other process builds. The lock belongs to an open file, so
// it goes with its process, however that ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		held, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if held {
			return func() { _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another process builds: %w", ctx.Err()), f.Close())
		case <-time.After(lockPause):
		}
	}
}
