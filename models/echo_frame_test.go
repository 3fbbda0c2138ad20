package models_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"netbench/models"
)

func TestEchoSendsBackEveryByte(t *testing.T) {
	for _, input := range []string{"", "a", "\x00\xff\r\n", strings.Repeat("netbench", 1000)} {
		o := talk(t, models.Echo{}, input)
		assert.Equal(t, input, string(o.Output))
		assert.Equal(t, len(input), o.Consumed)
		assert.False(t, o.Closed)
	}
}

func frame(payload string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))) + payload
}

func TestFrameSendsBackWholeFrames(t *testing.T) {
	frames := frame("hello") + frame("") + frame(strings.Repeat("x", 5000))
	for _, tail := range []string{"", "\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05hell"} {
		o := talk(t, models.Frame{}, frames+tail)
		assert.Equal(t, frames, string(o.Output), "a frame in part is not answered")
		assert.Equal(t, len(frames), o.Consumed)
		assert.Equal(t, 3, o.Steps, "one step for each frame")
		assert.False(t, o.Closed)
	}
}

func TestFrameAsksForAllOfIt(t *testing.T) {
	session := models.Frame{}.Open()
	_, _, next := session.Step([]byte{0}, nil)
	assert.Equal(t, models.Next{Need: 4}, next)
	_, _, next = session.Step([]byte{0, 0, 1, 0}, nil)
	assert.Equal(t, models.Next{Need: 4 + 256}, next)
}

func TestFrameClosesWithoutAReplyWhenALengthIsAboveMax(t *testing.T) {
	for _, c := range []struct {
		max    int
		input  string
		closed bool
	}{
		{0, string(binary.BigEndian.AppendUint32(nil, 1<<20+1)) + "x", true},
		{0, string(binary.BigEndian.AppendUint32(nil, 1<<20)) + "x", false},
		{0, "\xff\xff\xff\xff", true},
		{10, frame(strings.Repeat("x", 11)), true},
		{10, string(binary.BigEndian.AppendUint32(nil, 10)), false},
	} {
		o := talk(t, models.Frame{Max: c.max}, c.input)
		assert.Equal(t, c.closed, o.Closed, "%.8q", c.input)
		assert.Empty(t, o.Output)
	}
	o := talk(t, models.Frame{}, frame("before")+"\xff\xff\xff\xff"+frame("after"))
	assert.Equal(t, frame("before"), string(o.Output), "what was asked before is answered, nothing after")
	assert.True(t, o.Closed)
}
