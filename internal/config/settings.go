package config

import (
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Binary is one of the binaries, or a set of them.
type Binary uint8

// The binaries: node, invalidator, warmer, tercet.
const (
	ForNode Binary = 1 << iota
	ForInvalidator
	ForWarmer
	ForCLI

	members = ForNode | ForWarmer // run a node in their process
	serving = ForNode | ForInvalidator | ForWarmer
	every   = serving | ForCLI
)

// setting is one row of the table.
type setting struct {
	key    string // its path in the file
	value  value
	used   Binary
	usage  string
	secret bool
}

func (s setting) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

const prefix = "TERCET_"

// defaults returns a Config in which everything has its default for b.
func defaults(b Binary) *Config {
	d := events.DefaultSettings()
	c := &Config{
		DefaultTTL:  time.Hour,
		MaxValue:    16 << 20,
		Replication: 2,
		Compression: "auto",
		AuditRate:   1,
		L1Size:      256 << 20,
		L3Size:      10 << 30,
		DataDir:     "tercet-data",

		Lease:      d.Lease,
		Partitions: d.Partitions,
		MaxTTL:     d.MaxTTL,
		Policy:     d.Policy,
		Replicas:   d.Replicas,

		RESP: RESP{Addr: "127.0.0.1:6380", MaxConnections: 10_000, IdleTimeout: time.Hour},
		HTTP: HTTP{Addr: "127.0.0.1:8080"},
		Log:  Log{Level: "info", Format: "text"},

		Invalidator: Invalidator{
			Stream: "EVENTS", Subject: "events.>", Durable: "invalidator",
			Workers: 1024, Retries: 5, AckWait: 30 * time.Second,
		},
		Snapshots: Snapshots{Every: time.Hour, FullEvery: 6, Last: 24, Daily: 7, Rate: 32 << 20},
		Warmer:    Warmer{Timeout: 5 * time.Second, Rate: 100, Concurrency: 8, Keys: 1000},
	}
	if b != ForNode {
		// A node, an invalidator and a warmer often share a machine.
		c.HTTP.Addr = Off
		c.DataDir = ""
	}
	return c
}

// settings is the table: every setting there is, bound to c's fields.
func settings(c *Config) []setting {
	return []setting{
		{key: "domain", value: checked(&c.Domain, "name", events.ValidateDomain), used: every,
			usage: "domain: the named cache that this process belongs to"},
		{key: "create", value: truth(&c.Create), used: every,
			usage: "make the domain if it is missing (for trials; else: tercet domain create)"},
		{key: "node_id", value: checked(&c.NodeID, "name", nodeID), used: members,
			usage: "name of this node for people and placement (a node's default: the host's name)"},
		{key: "data_dir", value: text(&c.DataDir), used: members | ForCLI,
			usage: "directory of the disk tier (L3); empty: in memory, so that a restart begins with nothing"},
		{key: "default_ttl", value: positive(&c.DefaultTTL), used: members,
			usage: "life of a value that was set without one; cut to the domain's max_ttl"},
		{key: "max_value", value: size(&c.MaxValue, 1), used: ForNode,
			usage: "largest value that clients may set"},
		{key: "replication", value: count(&c.Replication, 0), used: members,
			usage: "how many nodes keep a copy of each loaded key for the others; 0: none"},
		{key: "compression", value: oneOf(&c.Compression, "auto", "off"), used: members | ForCLI,
			usage: "auto: values that get smaller by it are compressed in Redis, on disk and between nodes"},
		{key: "seal_keys", value: text(&c.SealKeys), used: members | ForCLI, secret: true,
			usage: "keys that seal values in Redis, on disk and between nodes, as id:key with 32 bytes in base64 or hex; the first seals, all open"},
		{key: "seal_keys_file", value: text(&c.SealKeysFile), used: members | ForCLI,
			usage: "file with such keys, one to a line"},
		{key: "l1.size", value: size(&c.L1Size, 512<<10), used: members,
			usage: "memory for the process tier (L1)"},
		{key: "l1.least", value: size(&c.L1Least, 0), used: members,
			usage: "what L1 keeps of its size when memory is short; 0: an eighth, l1.size: all"},
		{key: "l3.size", value: size(&c.L3Size, 8<<20), used: members | ForCLI,
			usage: "disk for the disk tier (L3), all its files together"},

		{key: "tiers_off", value: texts{&c.TiersOff}, used: ForNode,
			usage: "tiers that are switched off from the start (memory, disk, redis, owner); later: tercet tier on"},
		{key: "audit_rate", value: rateOrNone(&c.AuditRate), used: ForNode,
			usage: "how many reads a second are judged again, by the log and by another node; 0: none"},

		{key: "lease", value: positive(&c.Lease), used: every,
			usage: "with --create: how long a node may serve after its last pulse"},
		{key: "partitions", value: count(&c.Partitions, 1), used: every,
			usage: "with --create: number of the domain's logs"},
		{key: "max_ttl", value: positive(&c.MaxTTL), used: every,
			usage: "with --create: longest life of any copy"},
		{key: "policy", value: oneOf(&c.Policy, events.PolicyFence, events.PolicyServe), used: every,
			usage: "with --create: what a node does that is cut off from the log"},
		{key: "replicas", value: count(&c.Replicas, 1), used: every,
			usage: "with --create: how many NATS servers keep the log (1, 3 or 5)"},

		{key: "nats.url", value: text(&c.NATS.URL), used: every,
			usage: "NATS servers with JetStream, as nats://host:4222, several separated by commas"},
		{key: "nats.creds", value: text(&c.NATS.Creds), used: every,
			usage: "file with a NATS user's JWT and seed"},
		{key: "nats.user", value: text(&c.NATS.User), used: every,
			usage: "NATS user"},
		{key: "nats.password", value: text(&c.NATS.Password), used: every, secret: true,
			usage: "NATS password"},
		{key: "nats.ca", value: text(&c.NATS.TLS.CA), used: every,
			usage: "file with certificates of authorities that vouch for the NATS servers"},
		{key: "nats.cert", value: text(&c.NATS.TLS.Cert), used: every,
			usage: "file with the certificate shown to the NATS servers"},
		{key: "nats.key", value: text(&c.NATS.TLS.Key), used: every,
			usage: "file with that certificate's key"},
		{key: "redis.url", value: text(&c.Redis.URL), used: every,
			usage: "Redis of the shared tier (L2), as redis://host:6379/0; empty: no shared tier"},
		{key: "redis.password", value: text(&c.Redis.Password), used: every, secret: true,
			usage: "Redis password, used instead of the URL's"},
		{key: "redis.ca", value: text(&c.Redis.TLS.CA), used: members | ForCLI,
			usage: "file with certificates of authorities that vouch for the Redis servers (rediss://)"},
		{key: "redis.cert", value: text(&c.Redis.TLS.Cert), used: members | ForCLI,
			usage: "file with the certificate shown to the Redis servers"},
		{key: "redis.key", value: text(&c.Redis.TLS.Key), used: members | ForCLI,
			usage: "file with that certificate's key"},

		{key: "resp.addr", value: checked(&c.RESP.Addr, "address", address), used: ForNode,
			usage: `where Redis clients connect, or "off"`},
		{key: "resp.password", value: text(&c.RESP.Password), used: ForNode, secret: true,
			usage: "password that Redis clients must give (AUTH)"},
		{key: "resp.cert", value: text(&c.RESP.TLS.Cert), used: ForNode,
			usage: "file with the certificate for Redis clients; empty: no TLS"},
		{key: "resp.key", value: text(&c.RESP.TLS.Key), used: ForNode,
			usage: "file with that certificate's key"},
		{key: "resp.max_connections", value: count(&c.RESP.MaxConnections, 1), used: ForNode,
			usage: "how many Redis clients may be connected"},
		{key: "resp.idle_timeout", value: duration(&c.RESP.IdleTimeout), used: ForNode,
			usage: "after which a silent Redis client is disconnected; 0: never"},
		{key: "http.addr", value: checked(&c.HTTP.Addr, "address", address), used: serving,
			usage: `where the HTTP interface (health, metrics, API) listens, or "off"`},
		{key: "http.token", value: text(&c.HTTP.Token), used: serving, secret: true,
			usage: "bearer token that HTTP clients must give"},
		{key: "http.cert", value: text(&c.HTTP.TLS.Cert), used: serving,
			usage: "file with the certificate for HTTP clients; empty: no TLS"},
		{key: "http.key", value: text(&c.HTTP.TLS.Key), used: serving,
			usage: "file with that certificate's key"},
		{key: "insecure_listen", value: truth(&c.InsecureListen), used: serving,
			usage: "allow servers without authentication on addresses other than loopback"},

		{key: "log.level", value: oneOf(&c.Log.Level, "debug", "info", "warn", "error"), used: every,
			usage: "least severity that is logged"},
		{key: "log.format", value: oneOf(&c.Log.Format, "text", "json"), used: every,
			usage: "form of log lines"},

		{key: "rules", value: texts{&c.Rules}, used: ForInvalidator | ForCLI,
			usage: "files with invalidation rules"},
		{key: "invalidator.stream", value: text(&c.Invalidator.Stream), used: ForInvalidator | ForCLI,
			usage: "JetStream stream with the domain events"},
		{key: "invalidator.subject", value: text(&c.Invalidator.Subject), used: ForInvalidator | ForCLI,
			usage: "subjects of that stream to listen to"},
		{key: "invalidator.durable", value: text(&c.Invalidator.Durable), used: ForInvalidator,
			usage: "name of the consumer that invalidators share"},
		{key: "invalidator.workers", value: count(&c.Invalidator.Workers, 1), used: ForInvalidator,
			usage: "how many events are worked on at once; many share one record of the log"},
		{key: "invalidator.retries", value: count(&c.Invalidator.Retries, 0), used: ForInvalidator,
			usage: "how often an event is tried again at once, before the stream delivers it again later"},
		{key: "invalidator.ack_wait", value: positive(&c.Invalidator.AckWait), used: ForInvalidator,
			usage: "how long a process may be silent before others get its events"},
		{key: "invalidator.type_field", value: text(&c.Invalidator.TypeField), used: ForNode | ForInvalidator | ForCLI,
			usage: "field of plain JSON events that holds their type; empty: plain JSON is refused"},
		{key: "invalidator.id_field", value: text(&c.Invalidator.IDField), used: ForNode | ForInvalidator | ForCLI,
			usage: "field of plain JSON events that holds their id"},

		{key: "warmer.origin", value: checked(&c.Warmer.Origin, "url", originURL), used: ForWarmer,
			usage: "URL with {key} in it, where a key's value is fetched"},
		{key: "warmer.timeout", value: positive(&c.Warmer.Timeout), used: ForWarmer,
			usage: "how long the origin may take for one value"},
		{key: "warmer.rate", value: rate(&c.Warmer.Rate), used: ForWarmer,
			usage: "loads per second, at most"},
		{key: "warmer.concurrency", value: count(&c.Warmer.Concurrency, 1), used: ForWarmer,
			usage: "loads at once, at most"},
		{key: "warmer.keys", value: count(&c.Warmer.Keys, 1), used: ForWarmer,
			usage: "how many of the most read keys are kept warm"},

		{key: "snapshot_dir", value: text(&c.SnapshotDir), used: ForNode | ForCLI,
			usage: "where snapshots lie: a directory, nats://BUCKET or s3://BUCKET/PREFIX?endpoint=URL; empty: nowhere"},
		{key: "snapshots.every", value: duration(&c.Snapshots.Every), used: ForNode,
			usage: "a snapshot is made when the domain's newest is older; 0: on demand only"},
		{key: "snapshots.full_every", value: count(&c.Snapshots.FullEvery, 1), used: ForNode,
			usage: "which of them holds everything; those between hold what has changed"},
		{key: "snapshots.fences", value: truth(&c.Snapshots.Fences), used: ForNode,
			usage: "make one without values beside each, for members without a disk"},
		{key: "snapshots.last", value: count(&c.Snapshots.Last, 0), used: ForNode | ForCLI,
			usage: "how many of the newest snapshots are kept; 0: all"},
		{key: "snapshots.daily", value: count(&c.Snapshots.Daily, 0), used: ForNode | ForCLI,
			usage: "for how many days the newest of the day is kept besides"},
		{key: "snapshots.max_age", value: duration(&c.Snapshots.MaxAge), used: ForNode | ForCLI,
			usage: "after which time none is kept but the newest; 0: never"},
		{key: "snapshots.rate", value: size(&c.Snapshots.Rate, 64<<10), used: ForNode,
			usage: "how much of a node is read for a snapshot in a second"},
	}
}
