package floor_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cc"
	"netbench/models"
	"netbench/models/floor"
	"netbench/testenv"
)

// bare runs a program with a control channel that this test speaks itself. The
// hello of a parent is on its way already.
func bare(t *testing.T, program string) (in *bufio.Reader, out *os.File, pid int) {
	t.Helper()
	childIn, out, err := os.Pipe()
	require.NoError(t, err)
	from, childOut, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "NETBENCH_CHILD_ROLE=server", "NETBENCH_CHILD_PIPES=3,4")
	cmd.ExtraFiles = []*os.File{childIn, childOut}
	require.NoError(t, cmd.Start())
	require.NoError(t, errors.Join(childIn.Close(), childOut.Close(), from.SetReadDeadline(time.Now().Add(patience))))
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		from.Close()
		out.Close()
	})
	say(t, out, `{"kind":"hello","body":{"protocol":1,"min_protocol":1,"pid":1,"role":"server"}}`)
	return bufio.NewReader(from), out, cmd.Process.Pid
}

func say(t *testing.T, out *os.File, line string) {
	t.Helper()
	_, err := out.WriteString(line + "\n")
	require.NoError(t, err)
}

// hear reads a line and demands that it contains something.
func hear(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, want)
}

func TestCallsAreAnsweredOverTheControlChannel(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		in, out, _ := bare(t, build(t, model))
		hear(t, in, `{"kind":"hello","body":{"protocol":1,"min_protocol":1,`)
		say(t, out, `{"kind":"start","body":{"model":"`+model+`","service":"\u0065cho","config":{"Loops":1,"NoDelay":0,"Unheard":[{"of":null}]}}}`)
		hear(t, in, `"addr":"127.0.0.1:`)
		for _, c := range []struct{ call, want string }{
			{`{"kind":"call","id":1,"op":"nothing","body":null}`, `"id":1,"error":"unknown operation (known: collect, runtime, shutdown, stats)"`},
			{`{"kind":"call","id":2,"op":"runtime","body":null}`, `"id":2,"body":{"go_version":""}`},
			{`{"kind":"call","id":3,"op":"collect","body":null}`, `"id":3,"body":null`},
			{` { "kind" : "call" , "id" : 4 , "op" : "stats" } `, `"server":{"model":"` + model + `"`},
			{`{"kind":"cancel","id":99}` + "\n" + `{"kind":"call","id":5,"op":"shutdown","body":"soon"}`, `"id":5,"error":`},
			{`{"kind":"call","id":6,"op":"shutdown","body":1000000000}`, `"id":6,"body":null`},
			{`{"kind":"call","id":7,"op":"shutdown","body":1000000000}`, `"id":7,"body":null`},
			{`{"kind":"call","id":8,"op":"stats"}`, `"active":0`},
		} {
			say(t, out, c.call)
			hear(t, in, c.want)
		}
	})
}

func TestStartRefusesWhatTheProgramCannotDo(t *testing.T) {
	taken := start(t, floor.Epoll, models.Config{}).Addr()
	each(t, func(t *testing.T, model string) {
		program := build(t, model)
		for name, c := range map[string]struct {
			spec testenv.ServerSpec
			want string
		}{
			"service":   {testenv.ServerSpec{Service: "http"}, `service "http" is not served by the C floor (want echo)`},
			"option":    {testenv.ServerSpec{Service: "echo+spin=500"}, `service "echo+spin=500" is not served`},
			"model":     {testenv.ServerSpec{Model: "goroutine"}, `model "goroutine" is another program (this is ` + model + ")"},
			"network":   {testenv.ServerSpec{Config: models.Config{Network: "unix", Address: "/tmp/s"}}, `Config.Network is "unix"`},
			"listeners": {testenv.ServerSpec{Config: models.Config{Listeners: 2}}, "Config.Listeners is more than 1"},
			"profile":   {testenv.ServerSpec{CPUProfile: "cpu.pprof"}, "a CPU profile was asked for"},
			"address":   {testenv.ServerSpec{Config: models.Config{Address: taken}}, "listen " + taken + ": Address already in use"},
		} {
			t.Run(name, func(t *testing.T) {
				spec := c.spec
				spec.Program, spec.StartTimeout = program, time.Minute
				if spec.Service == "" {
					spec.Service = "echo"
				}
				if spec.Model == "" {
					spec.Model = model
				}
				_, err := testenv.StartServer(t.Context(), spec)
				require.ErrorContains(t, err, model+": "+c.want)
				assert.NotContains(t, err.Error(), "\n")
			})
		}
	})
}

func TestStartRefusesWhatIsNoJSON(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		program := build(t, model)
		for _, line := range []string{
			`{"kind":"start","body":{`, `{"kind":"start",}`, `{"kind":"start" "body":{}}`, `{"kind":start}`, `[1,2`, ``,
			`{"kind":"start","body":{"service":"echo","config":{"Loops":01}}}`,
			`{"kind":"start","body":{"service":"echo","config":{"Loops":1.5}}}`,
			`{"kind":"start","body":{"service":"echo","config":{"Loops":"1"}}}`,
			`{"kind":"start","body":{"service":"echo","config":{"Loops":99999999999999999999}}}`,
			`{"kind":"start","body":{"service":"echo","config":{"IdleTimeout":5}}}`,
			`{"kind":"start","body":{"service":"echo","config":{"ReadBuffer":-4}}}`,
			`{"kind":"start","body":{"service":7,"config":{}}}`,
			`{"kind":"start","body":{"service":"echo\ud800","config":{}}}`,
			`{"kind":"start","body":{"service":"echo\q","config":{}}}`,
			`{"kind":"start","body":{"service":"echo","config":[]}}`,
			`{"kind":"start","body":"echo"}`, `{"kind":"start"}`, `{"kind":"stop"}`,
			strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		} {
			in, out, pid := bare(t, program)
			hear(t, in, `"kind":"hello"`)
			say(t, out, line)
			rest, err := in.ReadString('\n')
			assert.Error(t, err, "%.60q: it ends without being ready, not %q", line, rest)
			assert.Positive(t, pid)
		}
	})
}

func TestBuildKnowsItsModelsAndSaysWhatIsMissing(t *testing.T) {
	_, err := floor.Build(t.Context(), "c-kqueue")
	require.ErrorContains(t, err, `unknown model "c-kqueue" (the C floor has c-epoll`)

	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	for _, name := range floor.Names() {
		_, err = floor.Build(t.Context(), name)
		require.ErrorIs(t, err, cc.ErrNoCompiler, name)
		assert.ErrorContains(t, err, name)
	}
}

func TestAProgramThatIsRunByHandSaysWhoStartsIt(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, build(t, model))
		out, err := cmd.CombinedOutput()
		assert.Equal(t, 1, cmd.ProcessState.ExitCode(), "%v", err)
		assert.Contains(t, string(out), "is started by netbench")
		assert.Contains(t, string(out), model+": ")
	})
}
