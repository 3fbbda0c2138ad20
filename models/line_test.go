package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/servicetest"
)

func TestLineAnswersCommands(t *testing.T) {
	for _, c := range []struct{ name, input, want string }{
		{"ping", "ping\n", "pong\n"},
		{"CRLF", "ping\r\n", "pong\n"},
		{"time", "time\n", "2026-03-01T12:00:00Z\n"},
		{"status", "status\n", "server is running\n"},
		{"unknown", "hello you\n", "unknown command: hello you\n"},
		{"empty", "\n\r\n", "unknown command: \nunknown command: \n"},
		{"capitals count", "PING\n", "unknown command: PING\n"},
		{"blanks around do not count", " \tping \t\r\n  a b \n", "pong\nunknown command: a b\n"},
		{"one CR belongs to the end", "ping\r\r\n", "unknown command: ping\r\n"},
		{"CR within is text", "a\rb\n", "unknown command: a\rb\n"},
		{"bytes are not changed", "\x00\xff\n", "unknown command: \x00\xff\n"},
		{"pipelined", "ping\nstatus\r\nping\n", "pong\nserver is running\npong\n"},
		{"in part", "ping\npin", "pong\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := talk(t, models.Line{Now: fixed}, c.input)
			assert.Equal(t, c.want, string(o.Output))
			assert.False(t, o.Closed)
			assert.Equal(t, strings.LastIndexByte(c.input, '\n')+1, o.Consumed)
		})
	}
}

func TestLineTellsTheTimeInUTC(t *testing.T) {
	east := func() time.Time { return noon.In(time.FixedZone("", 3600)) }
	assert.Equal(t, "2026-03-01T12:00:00Z\n", string(talk(t, models.Line{Now: east}, "time\n").Output))

	before := time.Now().Truncate(time.Second)
	o, err := servicetest.Run(models.Line{}, []byte("time\n"), nil)
	require.NoError(t, err)
	told, err := time.Parse(time.RFC3339+"\n", string(o.Output))
	require.NoError(t, err)
	assert.False(t, told.Before(before), "without a clock it is the time of day")
	assert.False(t, told.After(time.Now()))
}

func TestLineRefusesALongLineOnceAndCloses(t *testing.T) {
	const refusal = "error: line longer than 8 bytes\n"
	for _, c := range []struct {
		input, want string
		closed      bool
	}{
		{"12345678\n", "unknown command: 12345678\n", false},
		{"12345678\r\n", "unknown command: 12345678\n", false},
		{"12345678\r", "", false},
		{"12345678", "", false},
		{"123456789", refusal, true},
		{"123456789\n", refusal, true},
		{"12345678\r\r\n", refusal, true},
		{"12345678\rx", refusal, true},
		{"        9\n", refusal, true},
		{"ping\n123456789\nping\n", "pong\n" + refusal, true},
	} {
		o := talk(t, models.Line{Now: fixed, Max: 8}, c.input)
		assert.Equal(t, c.want, string(o.Output), "%q", c.input)
		assert.Equal(t, c.closed, o.Closed, "%q", c.input)
	}
	o := talk(t, models.Line{Now: fixed}, strings.Repeat("x", 4097))
	assert.Equal(t, "error: line longer than 4096 bytes\n", string(o.Output))
}
