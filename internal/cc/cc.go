// Package cc compiles small C programs when they are needed, and keeps them.
//
// A few programs of this project have to be in C: what Go is measured against
// must not be Go. They are single files, embedded as source, compiled by the
// host's cc the first time they run. What is compiled is kept under the user's
// cache directory, by a name that holds a hash of the source, the flags and the
// compiler's version, so that a change of any of them compiles anew and a stale
// program can never run. A file appears there whole, by a rename.
package cc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ErrNoCompiler is wrapped by the error of [Build] on a host without cc.
var ErrNoCompiler = errors.New("no C compiler")

// compileTimeout bounds one call of the compiler; a program here takes less than
// a second.
const compileTimeout = 2 * time.Minute

// Program is a C program in one file.
type Program struct {
	Name   string   // of the executable, a plain file name
	Source []byte   // the file
	Flags  []string // after -O2 and before the file
	Libs   []string // after the file, for instance "-lm"
}

// Binary is a compiled program.
type Binary struct {
	Path     string // of the executable
	Compiler string // first line of cc --version
	Cached   bool   // it had been compiled before

	temporary string // directory to remove, "" if it is to be kept
}

// Remove deletes what cannot be kept for the next time. It does nothing to a
// program in the cache.
func (b *Binary) Remove() error {
	if b.temporary == "" {
		return nil
	}
	return os.RemoveAll(b.temporary)
}

// Build returns the compiled program, from the cache if it is there. Where the
// user has no cache directory that can be written to, it compiles into a
// temporary one, which [Binary.Remove] deletes. The error wraps [ErrNoCompiler]
// if there is no cc, and holds what the compiler said if it failed.
func Build(ctx context.Context, p Program) (*Binary, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w: there is no cc in PATH (install gcc or clang with the C library's headers; on Debian: apt-get install gcc libc6-dev)", p.Name, ErrNoCompiler)
	}
	version, err := compilerVersion(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", p.Name, err)
	}
	first, _, _ := strings.Cut(version, "\n")
	b := &Binary{Compiler: first}
	dir, err := cacheDir()
	if err == nil {
		b.Path = filepath.Join(dir, p.fileName(version))
		if runnable(b.Path) {
			b.Cached = true
			return b, nil
		}
	} else {
		if b.temporary, err = os.MkdirTemp("", "netbench-cc-"); err != nil {
			return nil, fmt.Errorf("compile %s: neither a cache nor a temporary directory can be used: %w", p.Name, err)
		}
		dir = b.temporary
		b.Path = filepath.Join(dir, p.fileName(version))
	}
	if err := compile(ctx, cc, p, dir, b.Path); err != nil {
		return nil, errors.Join(fmt.Errorf("compile %s: %w", p.Name, err), b.Remove())
	}
	return b, nil
}

func compilerVersion(ctx context.Context, cc string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, cc, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", cc, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// cacheDir makes the directory of compiled programs and makes sure that files
// can be made in it.
func cacheDir() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "netbench", "cc")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// fileName is the name of an executable that depends on all that made it.
func (p Program) fileName(version string) string {
	h := sha256.New()
	for _, part := range slices.Concat([]string{version, string(p.Source), "flags"}, p.Flags, []string{"libs"}, p.Libs) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	name := fmt.Sprintf("%s-%x", p.Name, h.Sum(nil)[:12])
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return name
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o100 != 0)
}

// compile works in a directory of its own beside the result, so that several
// processes may compile the same program at the same time.
func compile(ctx context.Context, cc string, p Program, dir, path string) error {
	work, err := os.MkdirTemp(dir, ".work-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source, result := filepath.Join(work, p.Name+".c"), filepath.Join(work, p.Name)
	if err := os.WriteFile(source, p.Source, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	args := slices.Concat([]string{"-O2"}, p.Flags, []string{"-o", result, source}, p.Libs)
	cmd := exec.CommandContext(ctx, cc, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it removes its files
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w%s", cc, err, excerpt(said.String()))
	}
	return os.Rename(result, path)
}

// excerpt is what an error message shows of a compiler's output, in one line.
func excerpt(said string) string {
	const most = 500
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if said = strings.Join(lines, "; "); said == "" {
		return ""
	}
	if len(said) > most {
		said = said[:most] + " ..."
	}
	return ": " + said
}
