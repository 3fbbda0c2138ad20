package link

// fifo is a queue in the order of arrival.
type fifo struct {
	items []packet
	head  int
}

func (f *fifo) len() int       { return len(f.items) - f.head }
func (f *fifo) first() *packet { return &f.items[f.head] }

func (f *fifo) push(p packet) {
	if f.head > 0 && len(f.items) == cap(f.items) {
		// Half of the space or more is behind the head: move rather than grow.
		if f.head >= len(f.items)/2 {
			n := copy(f.items, f.items[f.head:])
			clear(f.items[n:])
			f.items, f.head = f.items[:n], 0
		}
	}
	f.items = append(f.items, p)
}

func (f *fifo) pop() packet {
	p := f.items[f.head]
	f.items[f.head] = packet{}
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return p
}
