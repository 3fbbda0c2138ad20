package cli

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"netbench/gate"
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
	commandsExist(t, readme, "(?m)^    netbench (.*)$")
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)|\x60([a-z]+/[a-z/]*)\x60`).FindAllStringSubmatch(readme, -1) {
		path := m[1] + m[2]
		_, err := os.Stat(filepath.Join(root, path))
		if path != "bin/netbench" { // make build makes it
			assert.NoError(t, err, "README names %s", path)
		}
	}
}

// commandsExist parses the command lines of netbench in a text.
func commandsExist(t *testing.T, text, pattern string) {
	t.Helper()
	lines := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, lines)
	for _, m := range lines {
		var words []string
		for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`).FindAllString(strings.Split(m[1], "#")[0], -1) {
			words = append(words, strings.Trim(word, `'"`))
		}
		c, known := find(words[0])
		if !assert.True(t, known, "netbench %s", words[0]) {
			continue
		}
		flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		c.Setup(flags)
		assert.NoError(t, flags.Parse(words[1:]), "netbench %s", m[1])
		if c.Args == "" {
			assert.Empty(t, flags.Args(), "netbench %s", m[1])
		}
	}
}

func TestThePageOnOnesOwnServerNamesWhatThereIs(t *testing.T) {
	page := readFile(t, "docs/gate-your-server.md")
	commandsExist(t, page, "(?m)^    netbench (.*)$")
	c, _ := find("gate")
	flags, _ := c.flags()
	for _, m := range regexp.MustCompile("\x60-([a-z-]+)").FindAllStringSubmatch(page, -1) {
		assert.NotNil(t, flags.Lookup(m[1]), "-%s", m[1])
	}
}

func TestTheWorkflowCallsTheGateAndSeesTheWholeHistory(t *testing.T) {
	text := readFile(t, ".github/workflows/perf.yml")
	commandsExist(t, text, `(?m)/netbench" (.*) \|\| code`)
	var workflow struct {
		Jobs map[string]struct {
			Timeout int `yaml:"timeout-minutes"`
			Steps   []struct {
				Uses, Run string
				With      map[string]any
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &workflow))
	job, ok := workflow.Jobs["gate"]
	require.True(t, ok)
	assert.Positive(t, job.Timeout)
	var script string
	depth := any("not said")
	for _, step := range job.Steps {
		script += step.Run
		if strings.HasPrefix(step.Uses, "actions/checkout@") {
			depth = step.With["fetch-depth"]
		}
	}
	assert.Equal(t, 0, depth, "the whole history is fetched")
	assert.NotRegexp(t, `(?m)^\s*make\b`, script, "make has exit codes of its own")
	assert.Contains(t, script, "GITHUB_STEP_SUMMARY")
	assert.Contains(t, script, `exit "$code"`)

	file, err := os.Open(filepath.Join(root, "gate", "waivers"))
	require.NoError(t, err)
	defer file.Close()
	_, err = gate.ReadWaivers(file, "gate/waivers", time.Now())
	assert.NoError(t, err, "the committed waivers hold")
}
