package stream

// Waiting returns how many places are taken by those who wait for a stream,
// which nothing else shows: a place that is never freed only costs memory.
func (r *Registry) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, of := range r.waiting {
		n += max(len(of), 1) // an empty table is a place not freed, too
	}
	return n
}

// Held returns how many packets are held back while probing.
func (p *Publisher) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.probe.held)
}
