package memory

// Suspend drops all copies, and none is taken until Resume. Fences go on to be
// noted, so that what comes afterwards is judged as if nothing had happened.
// Lookups need not know: there is nothing to find.
func (c *Cache) Suspend() {
	c.suspended.Store(true)
	c.guards.pass() // whoever stores now has looked before
	c.clear()
}

// Resume ends a Suspend.
func (c *Cache) Resume() { c.suspended.Store(false) }

// pass returns once everybody who held a slot when it was called has let it go.
func (g *guards) pass() {
	for _, slots := range g.slots {
		for i := range slots {
			slots[i].mu.Lock()
			//lint:ignore SA2001 that it could be locked is the news
			slots[i].mu.Unlock()
		}
	}
}
