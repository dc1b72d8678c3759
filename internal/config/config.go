package config

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Config is what a binary was told. Build it with a [Loader]; the table in
// settings.go says each field's default.
type Config struct {
	Domain     string
	NodeID     string
	DataDir    string
	DefaultTTL time.Duration
	// Policies are those of some keys, the first that matches counts. Only the
	// file has them.
	Policies []KeyPolicy
	// MaxValue is the largest value that a node's servers accept, in bytes.
	MaxValue int64
	// Replication is how many nodes keep a copy of each key; 0: none.
	Replication int
	// Compression is what becomes of values outside of memory: auto or off.
	Compression string
	// SealKeys and the file SealKeysFile hold the keys that values are sealed
	// with outside of memory; at most one of them is set.
	SealKeys, SealKeysFile string
	// AuditRate is how many reads a second are judged again; 0: none.
	AuditRate float64
	// TiersOff are the tiers that are switched off from the start.
	TiersOff []string
	L1Size   int64 // bytes
	L1Least  int64 // bytes, that memory pressure leaves of it; 0: an eighth
	L3Size   int64 // bytes

	// Create makes the domain if it is missing, with the settings below, which
	// are not used otherwise: a domain's constants are kept with its log.
	Create     bool
	Lease      time.Duration
	Partitions int
	MaxTTL     time.Duration
	Policy     events.Policy
	Replicas   int

	NATS  NATS
	Redis Redis

	RESP           RESP
	HTTP           HTTP
	InsecureListen bool

	Log Log

	// Rules are the files that the invalidator reads its rules from.
	Rules       []string
	Invalidator Invalidator
	Warmer      Warmer

	// SnapshotDir is where snapshots are kept: a directory, or the URL of a bucket;
	// empty: nowhere.
	SnapshotDir string
	Snapshots   Snapshots

	origins []origin
}

// NATS says how to reach the log.
type NATS struct {
	URL string
	// Creds is a file with a user's JWT and seed.
	Creds          string
	User, Password string
	TLS            ClientTLS
}

// ClientTLS holds the files of a TLS client.
type ClientTLS struct {
	CA        string // trusted besides the system's
	Cert, Key string // the client's own
}

// Redis says how to reach the shared tier. An empty URL switches it off.
type Redis struct {
	URL string
	// Password, if set, is used instead of the URL's.
	Password string
	TLS      ClientTLS
}

// ServerTLS holds the files of a TLS server; both empty: plain TCP.
type ServerTLS struct{ Cert, Key string }

// Enabled reports whether the server speaks TLS.
func (t ServerTLS) Enabled() bool { return t.Cert != "" }

// Off is the address of a server that is switched off.
const Off = "off"

// RESP configures the server that Redis clients talk to.
type RESP struct {
	Addr           string // host:port, or [Off]
	Password       string
	TLS            ServerTLS
	MaxConnections int
	IdleTimeout    time.Duration // 0: never
}

// HTTP configures the server of the HTTP interface.
type HTTP struct {
	Addr  string // host:port, or [Off]
	Token string
	TLS   ServerTLS
}

// Log configures what the binary writes to standard error.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "text" or "json"
}

// Invalidator configures where domain events come from and how they are
// worked on.
type Invalidator struct {
	Stream  string
	Subject string
	Durable string
	Workers int
	Retries int
	AckWait time.Duration
	// TypeField and IDField are the fields of plain JSON that hold an event's
	// type and id. Without TypeField, plain JSON is refused.
	TypeField, IDField string
}

// Warmer configures how keys are reloaded after they were invalidated.
type Warmer struct {
	// Origin is a URL with {key} in it, where a key's value is fetched; empty:
	// none.
	Origin      string
	Timeout     time.Duration
	Rate        float64 // loads per second
	Concurrency int
	// Keys is how many of the most read keys are followed.
	Keys int
}

// Snapshots configures when nodes make them, and which are kept.
type Snapshots struct {
	// Every is the greatest age of the newest; 0: none are made but on demand.
	Every time.Duration
	// FullEvery is which of them holds everything; those between tell what has
	// changed since.
	FullEvery int
	// Fences: one without copies is made beside each.
	Fences bool
	// Last, Daily and MaxAge say which are kept.
	Last, Daily int
	MaxAge      time.Duration
	// Rate is how fast a node is read for one, in bytes per second.
	Rate int64
}

// Settings returns the constants for a domain that [Config.Create] makes.
func (c *Config) Settings() events.Settings {
	s := events.DefaultSettings()
	s.Lease = c.Lease
	s.Partitions = c.Partitions
	s.MaxTTL = c.MaxTTL
	s.Policy = c.Policy
	s.Replicas = c.Replicas
	return s
}

// ReplicationFactor returns Replication for those to whom 0 means a default:
// negative for none.
func (c *Config) ReplicationFactor() int {
	if c.Replication == 0 {
		return -1
	}
	return c.Replication
}
