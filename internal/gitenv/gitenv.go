// Package gitenv is the environment for commands of git that are about a directory.
// Git tells its hooks which repository and which index they are about by variables,
// and those beat the directory: a command that inherits them writes to the index of
// a commit that is being made.
package gitenv

import (
	"os"
	"slices"
	"strings"
)

// local are the variables that tell of one repository, as git rev-parse
// --local-env-vars lists them, but for those of the configuration, which say what the
// user permits.
var local = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
	"GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
	"GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
}

// Environ is [os.Environ] without what tells of one repository, and with more.
func Environ(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(local, name)
	})
	return append(env, more...)
}
