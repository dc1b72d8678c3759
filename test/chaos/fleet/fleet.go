package fleet

// Fleet is a running fleet. Its methods are safe for concurrent use.
type Fleet struct{}

// Nodes returns the nodes, as they are now.
func (f *Fleet) Nodes() []Member { return nil }

// Processes returns all processes that run now.
func (f *Fleet) Processes() []Process { return nil }

// NATSURL is the servers' own addresses, for those who must not be cut off.
func (f *Fleet) NATSURL() string { return "" }

// NATSURLFor is the servers' addresses through name's proxies. Names "client-0"
// to "client-7" are for embedded clients.
func (f *Fleet) NATSURLFor(name string) string { return "" }

// RedisURL is Redis's own address; empty without Redis.
func (f *Fleet) RedisURL() string { return "" }

// RedisURLFor is Redis's address through name's proxy.
func (f *Fleet) RedisURLFor(name string) string { return "" }

// Domain returns the domain's name.
func (f *Fleet) Domain() string { return Domain }
