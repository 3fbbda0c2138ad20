//go:build linux

package proc

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// script is a program that knows nothing of this package but the protocol.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	return path
}

func TestStartRunsAnotherProgramThatSpeaksTheProtocol(t *testing.T) {
	program := script(t, `
echo '{"kind":"hello","body":{"protocol":1,"min_protocol":1,"pid":1,"role":"stranger"}}' >&4
read hello <&3
read start <&3
echo '{"kind":"ready","body":"'$NETBENCH_CHILD_ROLE'"}' >&4
read call <&3
echo '{"kind":"reply","id":1,"body":"answered"}' >&4
read stop <&3
exit 0
`)
	c, err := Start(t.Context(), Options{Role: "stranger", Program: program, Spec: 7})
	require.NoError(t, err)
	assert.JSONEq(t, `"stranger"`, string(c.Info()))
	var answer string
	require.NoError(t, c.Call(t.Context(), "anything", nil, &answer))
	assert.Equal(t, "answered", answer)
	require.NoError(t, c.Stop(t.Context()))
}

func TestStartOfAProgramThatIsNotOursSaysWhatItDid(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"another version": {script(t, `echo '{"kind":"hello","body":{"protocol":9,"min_protocol":9,"role":"stranger"}}' >&4; exec sleep 20`), "version 9"},
		"no such file":    {filepath.Join(t.TempDir(), "missing"), "missing"},
		"no protocol":     {script(t, "echo who are you >&2; exit 5"), "who are you"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := Start(ctx, Options{Role: "stranger", Program: c.program})
			require.ErrorContains(t, err, c.want)
			require.NoError(t, ctx.Err(), "it was refused, not waited for")
		})
	}
}
