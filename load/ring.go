package load

// token is a connection, and since when it is ready for what comes next.
type token struct {
	conn  int32
	since int64
}

// ring is a first-in, first-out queue of tokens of fixed capacity.
type ring struct {
	tokens []token
	head   int
	len    int
}

// push appends t. A ring has a place for every token there is; one more is a
// defect of the caller.
func (r *ring) push(t token) {
	if r.len == len(r.tokens) {
		panic("load: more tokens than places")
	}
	at := r.head + r.len
	if at >= len(r.tokens) {
		at -= len(r.tokens)
	}
	r.tokens[at] = t
	r.len++
}

// pop removes the oldest token; the ring must not be empty.
func (r *ring) pop() token {
	t := r.tokens[r.head]
	if r.head++; r.head == len(r.tokens) {
		r.head = 0
	}
	r.len--
	return t
}

func (r *ring) peek() token { return r.tokens[r.head] }

func (r *ring) clear() { r.head, r.len = 0, 0 }
