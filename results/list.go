package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Entry is a run file in a directory, by its name alone.
type Entry struct {
	Path    string    `json:"path"`
	Time    time.Time `json:"time"`             // start of the run, UTC
	Commit  string    `json:"commit,omitempty"` // seven digits, "" without git
	Partial bool      `json:"partial,omitempty"`
}

// List returns the run files in dir, oldest first, those that call themselves
// partial included. Other files are passed over. A directory that does not exist
// holds none.
func List(dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot list the runs: %w", err)
	}
	var entries []Entry
	for _, file := range files { // sorted by name, hence by time
		m := runName.FindStringSubmatch(file.Name())
		if m == nil || file.IsDir() {
			continue
		}
		at, err := time.Parse(nameTime, m[1])
		if err != nil {
			continue // not a date, hence not a name of ours
		}
		e := Entry{Path: filepath.Join(dir, file.Name()), Time: at, Partial: m[3] != ""}
		if m[2] != "nogit" {
			e.Commit = m[2]
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// ErrTooFew is wrapped by the error of [Latest] where there are not enough runs.
var ErrTooFew = errors.New("too few complete runs")

// Latest reads the last n complete runs in dir, oldest first. Runs that are
// partial, whether they say so or are found to be, and runs that were profiled are
// passed over; the error tells how many there were.
func Latest(dir string, n int) ([]*Run, error) {
	entries, err := List(dir)
	if err != nil {
		return nil, err
	}
	var runs []*Run
	unfit, profiled := 0, 0
	for i := len(entries) - 1; i >= 0 && len(runs) < n; i-- {
		if entries[i].Partial {
			unfit++
			continue
		}
		run, err := Read(entries[i].Path)
		if err != nil || run.Partial {
			unfit++
			continue
		}
		if run.Profiled() != "" {
			profiled++
			continue
		}
		runs = append(runs, run)
	}
	if len(runs) < n {
		also := ""
		if unfit > 0 {
			also = fmt.Sprintf(" and %d partial", unfit)
		}
		if profiled > 0 {
			also += fmt.Sprintf(" and %d profiled", profiled)
		}
		return nil, fmt.Errorf("%s holds %d complete%s: %w, %d wanted (make bench makes one)",
			strings.TrimSuffix(dir, "/"), len(runs), also, ErrTooFew, n)
	}
	for i, j := 0, len(runs)-1; i < j; i, j = i+1, j-1 {
		runs[i], runs[j] = runs[j], runs[i]
	}
	return runs, nil
}
