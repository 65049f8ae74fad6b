package socket

// SetRate sets how often the readers of a clock read in a second.
func (c *Clock) SetRate(reads int) { c.rate = reads }

// Beat lets the readers of all slots read now.
func (c *Clock) Beat() {
	c.mu.Lock()
	quit := c.quit
	c.mu.Unlock()
	if quit == nil {
		return
	}
	for range slots {
		c.beat(quit)
	}
}
