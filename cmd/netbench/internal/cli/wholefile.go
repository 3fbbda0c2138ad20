package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"netbench/internal/leftover"
)

// wholeFile is a file that gets its name when all of it is there, and none of it
// otherwise. Its zero value is no file.
type wholeFile struct {
	name      string
	temporary *os.File
	done      func() // says that the temporary file is gone
}

// createWhole begins a file; with no name it is none. It fails at once where no
// file can be made, so that a bad name is told before a long run.
func createWhole(name string) (*wholeFile, error) {
	if name == "" {
		return &wholeFile{}, nil
	}
	if there, err := os.Stat(name); err == nil && there.IsDir() {
		return nil, fmt.Errorf("%s is a directory (give a file)", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return nil, fmt.Errorf("no file can be made in directory %s: %w", filepath.Dir(name), err)
	}
	return &wholeFile{name: name, temporary: f, done: leftover.Owe()}, nil
}

// commit has write fill the file, and names it.
func (w *wholeFile) commit(write func(io.Writer) error) error {
	if w.temporary == nil {
		return nil
	}
	defer w.done()
	err := write(w.temporary)
	if err == nil {
		err = w.temporary.Chmod(0o644)
	}
	if err == nil {
		err = w.temporary.Sync()
	}
	if e := w.temporary.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(w.temporary.Name(), w.name)
	}
	if err != nil {
		_ = os.Remove(w.temporary.Name()) // the first failure is the one to tell
	}
	w.temporary = nil
	return err
}

// discard removes what was not committed.
func (w *wholeFile) discard() {
	if w.temporary != nil {
		defer w.done()
		_ = w.temporary.Close()
		_ = os.Remove(w.temporary.Name())
		w.temporary = nil
	}
}
