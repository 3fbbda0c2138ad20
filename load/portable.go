package load

// portableNote is carried into every result of the portable engine.
const portableNote = "portable engine: a goroutine for each connection, due times as coarse as the runtime's timers, collections may fall into the run"

func newPortableEngine(p *Plan, conns int) (engine, error) {
	return nil, badInput("engine portable is being written")
}
