package fleet

// Net is links of somebody's own, between clients and servers that are no part of
// a fleet. It is safe for concurrent use.
type Net struct{ n *network }

// NewNet returns a net without links.
func NewNet() *Net { return &Net{newNetwork()} }

// Add opens a path from from to the server to at upstream, host and port, and
// returns the address where from finds it.
func (n *Net) Add(from, to, upstream string) (string, error) { return n.n.add(from, to, upstream, 0) }

// Link returns the paths between two parties, as "clients|node-a".
func (n *Net) Link(name string) (Link, error) { return n.n.link(name) }

// Close ends all paths.
func (n *Net) Close() { n.n.close() }
