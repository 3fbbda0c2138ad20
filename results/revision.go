package results

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"netbench/internal/gitenv"
)

// revision asks git for the commit of the checkout in dir and whether anything
// in it differs, files that git does not know included, as they may be part of
// the build. Without git, or outside a checkout, both are absent.
func revision(ctx context.Context, dir string) (commit string, dirty *bool) {
	// A checkout on a dead network drive must not hold up a measurement.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	git := func(args ...string) (string, bool) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		// Without it, status takes a lock to refresh the index, which disturbs
		// whoever works in the same checkout.
		cmd.Env = gitenv.Environ("GIT_OPTIONAL_LOCKS=0")
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	commit, ok := git("rev-parse", "--verify", "-q", "HEAD^{commit}")
	if !ok {
		return "", nil
	}
	if status, ok := git("status", "--porcelain"); ok {
		changed := status != ""
		dirty = &changed
	}
	return commit, dirty
}
