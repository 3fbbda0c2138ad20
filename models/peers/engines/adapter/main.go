package adapter

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netbench/models"
	"netbench/testenv"
)

// Main is the main function of an engine's program.
func Main(factories map[string]models.Factory) {
	testenv.Main(factories)
	fmt.Fprintf(os.Stderr, "%s: this program is started by netbench as a server of the models %s (run: netbench race -models ...)\n",
		filepath.Base(os.Args[0]), strings.Join(slices.Sorted(maps.Keys(factories)), " and "))
	os.Exit(2)
}
