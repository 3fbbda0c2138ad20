package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"netbench/internal/cpu"
	"netbench/internal/gitenv"
	"netbench/internal/leftover"
	"netbench/internal/proc"
	"netbench/testenv"
)

// Arm is one of the two versions that a gate compares.
type Arm struct {
	Name    string `json:"name"`              // base or head
	Ref     string `json:"ref,omitempty"`     // as it was asked for; "" for the working tree and for a given binary
	Commit  string `json:"commit,omitempty"`  // of Ref or the working tree
	Dirty   bool   `json:"dirty,omitempty"`   // the working tree differs from its commit
	Program string `json:"program,omitempty"` // its netbench
	Hash    string `json:"hash,omitempty"`    // SHA-256 of the program

	// Command is the command line of a server of another make, in place of a
	// Program; see [netbench/testenv.CommandSpec].
	Command string `json:"command,omitempty"`

	// Spin makes each request cost that many rounds of arithmetic more
	// ([netbench/models.Spin]), in an experiment.
	Spin int `json:"spin,omitempty"`
}

// same tells whether both arms are one and the same server.
func (a Arm) same(b Arm) bool {
	return a.Hash == b.Hash && a.Command == b.Command && a.Spin == b.Spin
}

// Sources say where the arms come from. Either a ref or a binary is given of base;
// of head both may be "" for the working tree.
type Sources struct {
	Dir              string // in the checkout; "" for the working directory
	Base, Head       string // refs of git
	BaseBin, HeadBin string // binaries of netbench
	BaseCmd, HeadCmd string // command lines of servers of another make, of both or of neither
	BaseLink         string // flags for the linker, in an experiment
	HeadLink         string
}

// buildTimeout bounds the build of one arm; the first compiles all dependencies.
const buildTimeout = 15 * time.Minute

// worktreeTimeout bounds making or removing a worktree.
const worktreeTimeout = time.Minute

// Build makes both arms ready, before anything runs: refs are checked out in
// temporary worktrees and built without what differs between checkouts (-trimpath,
// -buildvcs=false), so that equal sources make equal programs. Remove deletes all
// that was made, and does nothing if it is called again.
//
// The error wraps [ErrInput] where sources do not exist or do not build; what the
// compiler said is part of it.
func Build(ctx context.Context, s Sources, log func(line string)) (base, head Arm, remove func() error, err error) {
	var made []func() error
	remove = undo(&made)
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	if s.BaseCmd != "" || s.HeadCmd != "" {
		base, head, err = s.commands()
		return base, head, remove, err
	}
	if (s.Base == "") == (s.BaseBin == "") {
		return base, head, remove, badInput("base: give either a ref of git or a binary")
	}
	if s.Head != "" && s.HeadBin != "" {
		return base, head, remove, badInput("head: give a ref of git or a binary, not both")
	}
	b := &builder{ctx: ctx, log: log, made: &made}
	if s.BaseBin == "" || s.HeadBin == "" {
		if err = b.open(s.Dir); err != nil {
			return base, head, remove, err
		}
	}
	if base, err = b.arm("base", s.Base, s.BaseBin, s.BaseLink); err != nil {
		return base, head, remove, err
	}
	head, err = b.arm("head", s.Head, s.HeadBin, s.HeadLink)
	return base, head, remove, err
}

// BuildLayouts builds the working tree n + 1 times: as it is, and n times with its
// functions in another order (the linker's -randlayout=1 and so on), which differ
// in nothing that anybody wrote. Remove is that of [Build].
func BuildLayouts(ctx context.Context, dir string, n int, log func(line string)) (arms []Arm, remove func() error, err error) {
	var made []func() error
	remove = undo(&made)
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	b := &builder{ctx: ctx, log: log, made: &made}
	if err := b.open(dir); err != nil {
		return nil, remove, err
	}
	for i := range n + 1 {
		name, link := "base", ""
		if i > 0 {
			name, link = fmt.Sprintf("layout-%d", i), fmt.Sprintf("-randlayout=%d", i)
		}
		a, err := b.arm(name, "", "", link)
		if err != nil {
			return nil, remove, err
		}
		arms = append(arms, a)
	}
	return arms, remove, nil
}

// BuildPGO builds the working tree twice: without profile-guided optimization, and
// with a CPU profile to guide it, which is the head. Remove is that of [Build].
func BuildPGO(ctx context.Context, dir, profile string, log func(line string)) (off, guided Arm, remove func() error, err error) {
	var made []func() error
	remove = undo(&made)
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	if profile, err = filepath.Abs(profile); err != nil {
		return off, guided, remove, err
	}
	f, err := os.Open(profile)
	if err != nil {
		return off, guided, remove, badInput("the profile cannot be read: %v", err)
	}
	if err := f.Close(); err != nil {
		return off, guided, remove, err
	}
	b := &builder{ctx: ctx, log: log, made: &made}
	if err := b.open(dir); err != nil {
		return off, guided, remove, err
	}
	b.pgo = "off"
	if off, err = b.arm("pgo-off", "", "", ""); err != nil {
		return off, guided, remove, err
	}
	b.pgo = profile
	if guided, err = b.arm("pgo-on", "", "", ""); err != nil {
		return off, guided, remove, err
	}
	if off.Hash == guided.Hash {
		err = badInput("%s guides nothing: the program built with it is the same as without (give a CPU profile of this program)", profile)
	}
	return off, guided, remove, err
}

// undo returns what undoes, last first, all that is in made by then.
func undo(made *[]func() error) func() error {
	return func() error {
		var all error
		for i := len(*made) - 1; i >= 0; i-- {
			all = errors.Join(all, (*made)[i]())
		}
		*made = nil
		return all
	}
}

// commands are the arms that are command lines.
func (s Sources) commands() (base, head Arm, err error) {
	base, head = Arm{Name: "base", Command: s.BaseCmd}, Arm{Name: "head", Command: s.HeadCmd}
	if s.Base != "" || s.Head != "" || s.BaseBin != "" || s.HeadBin != "" {
		return base, head, badInput("a command is compared with a command (give both, and neither refs nor binaries)")
	}
	for _, a := range []Arm{base, head} {
		if err := (testenv.CommandSpec{Line: a.Command}).Check(); err != nil {
			return base, head, badInput("%s: %v", a.Name, err)
		}
	}
	return base, head, nil
}

// builder makes arms of a checkout.
type builder struct {
	ctx    context.Context
	log    func(string)
	made   *[]func() error // undoes what was done, last first
	top    string          // of the checkout
	prefix string          // from there to the module
	tmp    string
	pgo    string // value of the flag -pgo; "" leaves it out
}

// open finds the checkout that dir is in.
func (b *builder) open(dir string) error {
	if dir == "" {
		dir = "."
	}
	if _, err := exec.LookPath("git"); err != nil {
		return badInput("there is no git command in PATH (install git, or give -base-bin and -head-bin)")
	}
	top, err := b.git(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return badInput("%s is not in a git repository: %v (run in a checkout of netbench, or let gate compare two binaries by -base-bin and -head-bin)", dir, err)
	}
	b.top = top
	if b.prefix, err = b.module(dir); err != nil {
		return err
	}
	if b.tmp, err = os.MkdirTemp("", "netbench-gate-"); err != nil {
		return err
	}
	done := leftover.Owe()
	*b.made = append(*b.made, func() error {
		defer done()
		return os.RemoveAll(b.tmp)
	})
	return nil
}

// module is the way from the top of the checkout to the directory of the go.mod
// that dir is under.
func (b *builder) module(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if start, err = filepath.EvalSymlinks(start); err != nil {
		return "", badInput("%v", err)
	}
	top, err := filepath.EvalSymlinks(b.top)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Rel(top, at)
		}
		if at == top || at == filepath.Dir(at) {
			return "", badInput("neither %s nor a directory above it, up to %s, has a go.mod (run in the checkout of netbench)", start, top)
		}
	}
}

// arm makes one ready.
func (b *builder) arm(name, ref, binary, link string) (a Arm, err error) {
	a = Arm{Name: name, Ref: ref, Program: binary}
	switch {
	case binary != "":
		if a.Program, err = filepath.Abs(binary); err != nil {
			return a, err
		}
		if _, err := exec.LookPath(a.Program); err != nil {
			return a, badInput("%s: %v (give an executable netbench)", name, err)
		}
	case ref == "":
		if a.Commit, err = b.git(b.top, "rev-parse", "--verify", "HEAD^{commit}"); err != nil {
			return a, badInput("%s: %v", name, err)
		}
		status, err := b.git(b.top, "status", "--porcelain")
		if err != nil {
			return a, badInput("%s: %v", name, err)
		}
		a.Dirty = status != ""
		if a.Program, err = b.build(name, b.top, link); err != nil {
			return a, err
		}
	default:
		if a.Commit, err = b.commit(ref); err != nil {
			return a, badInput("%s: %v", name, err)
		}
		tree, err := b.worktree(name, a.Commit)
		if err != nil {
			return a, err
		}
		if a.Program, err = b.build(name, tree, link); err != nil {
			return a, err
		}
	}
	a.Hash, err = hashOf(a.Program)
	return a, err
}

// commit is the hash of a ref.
func (b *builder) commit(ref string) (string, error) {
	hash, err := b.git(b.top, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil && b.ctx.Err() == nil {
		err = fmt.Errorf("%q is not a commit here (fetch it, or give another)", ref)
	}
	return hash, err
}

// worktree checks a commit out beside the user's own checkout, which it leaves as
// it is.
func (b *builder) worktree(name, commit string) (string, error) {
	dir := filepath.Join(b.tmp, name)
	// An interrupt neither leaves it half made, which would be locked, nor keeps it
	// from being removed.
	apart := func(args ...string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), worktreeTimeout)
		defer cancel()
		_, err := (&builder{ctx: ctx}).git(b.top, append([]string{"worktree"}, args...)...)
		return err
	}
	if err := b.ctx.Err(); err != nil {
		return "", err
	}
	*b.made = append(*b.made, func() error {
		err := apart("remove", "--force", "--force", dir)
		if _, there := os.Stat(dir); errors.Is(there, os.ErrNotExist) {
			return nil // perhaps it was never made
		}
		return errors.Join(err, os.RemoveAll(dir))
	})
	if err := apart("add", "--detach", "--quiet", dir, commit); err != nil {
		return "", badInput("%s: check out %.12s: %v", name, commit, err)
	}
	return dir, b.ctx.Err()
}

func (b *builder) build(name, tree, link string) (string, error) {
	b.log("building " + name)
	program := filepath.Join(b.tmp, "netbench-"+name)
	args := []string{"build", "-trimpath", "-buildvcs=false"}
	if link != "" {
		args = append(args, "-ldflags="+link)
	}
	if b.pgo != "" {
		args = append(args, "-pgo="+b.pgo)
	}
	ctx, cancel := context.WithTimeout(b.ctx, buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", program, "./cmd/netbench")...)
	cmd.Dir = filepath.Join(tree, b.prefix)
	// What it leaves behind when it is killed is removed with everything else.
	cmd.Env = gitenv.Environ("GOWORK=off", "PWD="+cmd.Dir, "GOTMPDIR="+b.tmp)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	// On all CPUs, also where this process keeps to the generator's.
	cpus, _ := cpu.Initial() // none where they cannot be told
	if err := cpu.RunOn(cpus, func() error { return proc.RunGroup(cmd) }); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("build %s: %w", name, ctx.Err())
		}
		return "", badInput("%s does not build: %v\n%s", name, err, strings.TrimSpace(said.String()))
	}
	return program, nil
}

// git runs a command of git in dir and returns what it printed.
func (b *builder) git(dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = gitenv.Environ("GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if b.ctx.Err() != nil {
			return "", b.ctx.Err()
		}
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		if first == "" {
			first = err.Error()
		}
		return "", fmt.Errorf("git %s: %s", args[0], first)
	}
	return strings.TrimSpace(out.String()), nil
}

func hashOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
