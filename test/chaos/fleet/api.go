package fleet

import "time"

// Member is a node as clients reach it now.
type Member struct {
	Name string
	// RESP and HTTP are host:port, direct.
	RESP, HTTP string
	Pid        int
	// Log is the file that it writes to.
	Log string
}

// Kind is what a process is.
type Kind string

// The kinds.
const (
	NATS        Kind = "nats"
	Redis       Kind = "redis"
	Sentinel    Kind = "sentinel"
	Node        Kind = "node"
	Invalidator Kind = "invalidator"
	Warmer      Kind = "warmer"
)

// Process is one running process of the fleet.
type Process struct {
	Name string
	Kind Kind
	Pid  int
	// HTTP is where it tells its metrics; empty: it does not.
	HTTP string
}

// Config says what fleet to start.
type Config struct {
	// Dir is where everything of the fleet lies; it is kept.
	Dir string
	// Bin holds node, invalidator and warmer.
	Bin string
	// Env is added to the environment of nodes, as in TERCET_MUTANT=name.
	Env []string
	// Shape is what the fleet is made of.
	Shape Shape
	// Rules are the invalidators', in YAML.
	Rules []byte
	// Origin is where the warmer fetches values, a URL with {key} in it; empty:
	// nowhere.
	Origin string
}

// Shape is what a fleet is made of. Its zero fields are filled by [Shape.Fill].
type Shape struct {
	// NATS is how many servers form the cluster: 1 or 3.
	NATS int `yaml:"nats"`
	// Sync is the servers' sync_interval: always, or default (two minutes).
	Sync string `yaml:"sync"`
	// Redis is single, sentinel, cluster or none.
	Redis        string        `yaml:"redis"`
	Nodes        int           `yaml:"nodes"`
	Invalidators int           `yaml:"invalidators"`
	Warmers      int           `yaml:"warmers"`
	Lease        time.Duration `yaml:"lease"`
	Partitions   int           `yaml:"partitions"`
	// Policy of a node that is cut off: fence or serve.
	Policy string `yaml:"policy"`
	// Hosts is where nodes and NATS servers run: on loopback, or in namespaces,
	// each on a host of its own whose cable can be unplugged; see package wire.
	Hosts string `yaml:"hosts"`
	// SmallDisks gives nodes and NATS servers disks of this many MiB, which can
	// be filled; 0: they lie in Dir. It takes root.
	SmallDisks int `yaml:"small_disks"`
}

// The kinds of [Shape.Hosts].
const (
	Loopback   = "loopback"
	Namespaces = "namespaces"
)

// Domain is the name of the fleet's domain.
const Domain = "chaos"
