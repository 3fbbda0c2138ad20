package adapter

import "sync"

// maxWorkers is the most goroutines that run work which blocks, as many as the
// reactor has.
const maxWorkers = 1024

// workers runs work that blocks, in a goroutine for each as long as there are not
// too many. One that is done takes the next.
type workers struct {
	mu      sync.Mutex
	queue   []func()
	running int
	all     sync.WaitGroup
}

func (w *workers) submit(job func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, job)
	if w.running < maxWorkers {
		w.running++
		w.all.Add(1)
		go w.run()
	}
}

func (w *workers) run() {
	defer w.all.Done()
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		job := w.queue[0]
		w.queue[0] = nil
		if w.queue = w.queue[1:]; len(w.queue) == 0 {
			w.queue = nil
		}
		w.mu.Unlock()
		job()
	}
}

func (w *workers) wait() { w.all.Wait() }
