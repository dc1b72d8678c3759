package node

import "sync"

// crew is the goroutines that a node has started besides its loops. Unlike a
// bare WaitGroup it can be told that nobody may join any more.
type crew struct {
	mu     sync.Mutex
	wg     sync.WaitGroup
	closed bool
}

// Go runs f in a goroutine of the crew, unless the crew was dismissed: then it
// returns false.
func (c *crew) Go(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// dismiss lets nobody join any more and waits for those who did.
func (c *crew) dismiss() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
}
