package cli

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"netbench/results"
)

// version is what this binary says about itself. What the build did not record
// is absent.
type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Dirty   bool   `json:"dirty,omitempty"`
	Go      string `json:"go"`
	GOOS    string `json:"goos"`
	GOARCH  string `json:"goarch"`
	Schema  int    `json:"schema"` // of run files
}

func readVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Schema: results.Schema}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	s := "netbench " + v.Version
	if v.Commit != "" {
		s += " commit " + v.Commit
		if v.Dirty {
			s += " with changes"
		}
	}
	return fmt.Sprintf("%s, %s %s/%s, run files of schema %d", s, v.Go, v.GOOS, v.GOARCH, v.Schema)
}

func versionCommand() Command {
	return Command{
		Name:     "version",
		Short:    "print the version of this binary",
		Long:     `It prints the version, the commit it was built from, and the schema of run files.`,
		Examples: []Example{{"For a script:", "netbench version -json"}},
		Setup: func(flags *flag.FlagSet) Action {
			asJSON := flags.Bool("json", false, "print a JSON object")
			return func(_ context.Context, _ []string, s Streams) (int, error) {
				if *asJSON {
					return results.ExitGood, printJSON(s.Out, readVersion())
				}
				fmt.Fprintln(s.Out, readVersion())
				return results.ExitGood, nil
			}
		},
	}
}
