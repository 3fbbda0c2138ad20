package cli

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the top of the checkout, as seen from this package.
var root = filepath.Join("..", "..", "..", "..")

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(b)
}

func TestTheReadmeNamesWhatThereIs(t *testing.T) {
	readme, makefile := readFile(t, "README.md"), readFile(t, "Makefile")
	targets := regexp.MustCompile("(?m)(?:^    |`)make ([a-z-]+)").FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, targets)
	for _, m := range targets {
		assert.Regexp(t, `(?m)^`+m[1]+`:.*## `, makefile, "make %s", m[1])
	}
	lines := regexp.MustCompile("(?m)^    netbench (.*)$").FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, lines)
	for _, m := range lines {
		words := strings.Fields(strings.Split(m[1], "#")[0])
		c, known := find(words[0])
		if !assert.True(t, known, "netbench %s", words[0]) {
			continue
		}
		flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		c.Setup(flags)
		assert.NoError(t, flags.Parse(words[1:]), "netbench %s", m[1])
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)|\x60([a-z]+/[a-z/]*)\x60`).FindAllStringSubmatch(readme, -1) {
		path := m[1] + m[2]
		_, err := os.Stat(filepath.Join(root, path))
		if path != "bin/netbench" { // make build makes it
			assert.NoError(t, err, "README names %s", path)
		}
	}
}
