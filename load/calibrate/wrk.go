package calibrate

// wrkName is what wrk is called in reports; wrkConns is the number of
// connections that it and the generator open.
const (
	wrkName  = "wrk"
	wrkConns = 100
)
