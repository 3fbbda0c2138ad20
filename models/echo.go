package models

// Echo sends every byte back as it came. It has no notion of a message, so a
// step answers whatever is buffered.
type Echo struct{}

func (Echo) Name() string   { return "echo" }
func (Echo) Limits() Limits { return Limits{Request: 1} }
func (Echo) Open() Session  { return echoSession{} }

type echoSession struct{}

func (echoSession) Step(in, out []byte) (int, []byte, Next) {
	return len(in), append(out, in...), Next{}
}
