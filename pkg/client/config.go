package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// Config says which domain to join and with what. Only Domain is required.
type Config struct {
	// Domain is the domain's name. It must have been created (`tercet domain
	// create`), or Create be set.
	Domain string

	// NATSURL is where the log is; default nats://127.0.0.1:4222. NATS holds
	// further options (credentials, TLS).
	NATSURL string
	NATS    []nats.Option
	// Conn, if set, is used instead, and stays open after Close.
	Conn *nats.Conn

	// RedisURL is the shared tier: redis://, rediss://, unix://, or
	// redis+sentinel:// and redis+cluster:// with their query parameters.
	// Empty: there is none.
	RedisURL string
	// RedisTLS has the authorities that vouch for rediss:// servers, and the
	// certificate to show them. Nil: the system's authorities, and none.
	RedisTLS *tls.Config
	// RedisTimeout bounds one operation on it; default 100 ms.
	RedisTimeout time.Duration

	// Outbox is a directory where Publish and Invalidate put what they are
	// given, synced, before anything else: what they accepted is delivered, also
	// if this process is killed, as soon as a client of the domain is opened with
	// the directory again. One process at a time has it. Empty: there is none.
	Outbox string
	// OutboxBytes bounds what waits there; default 256 MiB. Beyond it they
	// return [ErrOutboxFull].
	OutboxBytes int64

	// DataDir is where the disk tier lives. Empty: in memory, so that a
	// restart begins with nothing.
	DataDir string
	// L1Size and L3Size bound the tiers, in bytes. Defaults 64 MiB and 10 GiB,
	// at least 512 KiB and 8 MiB. An entry may take a 1024th of five sixths of
	// L1Size, and a 64th of L3Size up to 1 MiB; larger ones are served from further
	// out. L3Size counts all that lies in DataDir, or in memory without one; about
	// half of it is for values.
	L1Size, L3Size int64
	// L1Least is what L1 keeps of L1Size when the process comes near GOMEMLIMIT
	// or its control group's limit: it is halved at nine tenths of the limit,
	// and emptied by that, and doubled when there has been room for a minute.
	// Default an eighth of L1Size. L1Size or more: it keeps all.
	L1Least int64
	// DiskCache is the memory that the disk tier keeps blocks in; default
	// 32 MiB.
	DiskCache int64
	tuneDisk  func(*disk.Config) // for tests; may be nil

	// Snapshots, if set, is where members' images lie. A member whose disk tier is
	// empty, lost, or far behind begins with the newest that is of use, and with
	// the log's tail; see [Client.Beginning]. By itself a client makes none.
	Snapshots SnapshotStore
	// SnapshotRate bounds how fast [Client.CreateSnapshot] reads the disk tier, in
	// bytes per second, before they are compressed. Default 32 MiB; negative: as
	// fast as it goes.
	SnapshotRate int

	// NodeID names this process among the members; default the host's name
	// and a random suffix.
	NodeID string
	// Addresses are where other processes reach this node, as URLs.
	Addresses []string

	// DefaultTTL is the life of values that name none; default 1 h.
	DefaultTTL time.Duration
	// Policy is how values live and reads bear a failing origin; Policies are
	// those of some keys, of which the first that matches counts. By default
	// nothing serves past its expiry and every reader waits for its load.
	Policy   Policy
	Policies []KeyPolicy
	// WaitTimeout is how long a read waits for the freshness that its level
	// demands; default 2 s.
	WaitTimeout time.Duration
	// LoadTimeout bounds a loader; default 30 s. MaxLoads bounds how many run
	// at once; default 256.
	LoadTimeout time.Duration
	MaxLoads    int
	// LoadQueue bounds the loads that wait for that; beyond, a load fails at once
	// with an [Overload]. Default 16 times MaxLoads; negative: none waits.
	LoadQueue int
	// LoadTarget is how long a load should take. While loads take longer, fewer
	// run at once; see [Limits]. 0: always up to MaxLoads. For an origin of its
	// own limits there is [Gate].
	LoadTarget time.Duration
	// TiersOff are switched off from the start; see [Client.SwitchOff].
	TiersOff []string
	// LoadRate is how many loads may begin in a second, in this process; 0: any
	// number. With MaxLoads it guards the origin when much has to be loaded at
	// once.
	LoadRate float64
	// LoadAlone: loads are shared within this process only. By default the
	// processes of a domain load a key once between them; each load then costs
	// one trip to Redis, or to a peer, while there are others.
	LoadAlone bool
	// MaxValue is the largest value in bytes; default 16 MiB.
	MaxValue int

	// Compression says whether values are made smaller outside of this process's
	// memory: in Redis, on disk, on their way to other members. Default
	// [CompressAuto].
	Compression Compression
	// Dictionaries help to compress small JSON: each is a few KiB of what values
	// have in common, such as some typical ones. The first is written with, all
	// are read with; every member must have one before any writes with it.
	Dictionaries [][]byte
	// SealKeys, if there are any, seal values in those places, so that who reads
	// Redis or a disk learns no value, and who changes or moves one causes a
	// miss. Keys, tags and times stay readable, and so does the log, which has
	// NATS's own encryption. All members must have the same keys.
	SealKeys SealKeys

	// Validate, if set, is asked before a value is kept anywhere: of what a
	// loader answered and of what is written. Its error is the call's, and
	// nothing is cached. It is called concurrently and must not keep value.
	Validate func(key string, value []byte) error

	// Replication is how many members keep a copy of each loaded key for the
	// others, on their disks; they are asked when Redis has no answer, before
	// the origin. Default 2; negative: this process neither sends copies nor
	// asks for them.
	Replication int
	// Guest joins without owning anything: no copies are kept here for others.
	// For short visits, and for processes that should not give disk, or without
	// a DataDir memory, to keys that they don't use.
	Guest bool
	// FetchTimeout bounds a question to those members; default 50 ms.
	FetchTimeout time.Duration
	// RebalanceRows and RebalanceBytes bound how fast copies move when members
	// come or go: copies looked at and bytes sent, per second. Defaults 20,000
	// and 8 MiB.
	RebalanceRows, RebalanceBytes int

	// Origin, if set, is asked by Get for what no tier has, and when the
	// warmer wants a hot key loaded again. For keys that it does not know it
	// returns [ErrNoOrigin].
	Origin Loader
	// AccessSample makes this process tell the warmer of one read in so many;
	// 64 costs a read a nanosecond or two. 0: of none.
	AccessSample int

	// AuditRate is how many reads a second are judged again, by the log's fences
	// and by another node, and how many writes are followed until the last node
	// has them; what that finds is in the node's Stats. Default 1, which costs a
	// hit nothing that can be measured; negative: none.
	AuditRate float64

	// Create makes the domain, with Settings, if it does not exist. For trials
	// and tests: in production a domain is made once, on purpose.
	Create bool
	// Settings are the constants of a domain that Create makes; default
	// [DefaultSettings].
	Settings *Settings

	// Logger is told what an operator should know; default slog.Default().
	Logger *slog.Logger

	// TracerProvider records a span "apply" for each invalidation whose trace is
	// sampled. Default: OpenTelemetry's global one as it is when the client
	// starts, which records nothing unless somebody installed one that does.
	TracerProvider trace.TracerProvider

	// OnApply, if set, is told every applied record of the log, in order for
	// each partition, from the goroutine that applies it: don't hold it up.
	OnApply func(partition int, mark events.Mark, changes []events.Change)
}

// Settings are the constants of a domain, the same for all its members.
type Settings = events.Settings

// DefaultSettings returns the settings of a domain that says nothing.
func DefaultSettings() Settings { return events.DefaultSettings() }

// Loaded is what a loader answers.
type Loaded struct {
	Value []byte
	// TTL is how long the copy may live; 0: as the key's policy says.
	TTL time.Duration
	// Tags name what would make the value wrong.
	Tags []string
	// Priority weighs in eviction.
	Priority Priority
	// Version is the row's version in the origin, if it has one.
	Version Version
	// NoStore hands the value to who asked and keeps no copy.
	NoStore bool
	// Validator is what the origin names this value by (an entity tag, a date):
	// the next load finds it in [Previous].
	Validator string
	// NotModified says that the origin has still what [Previous] told. That lives
	// anew, Value is ignored, Tags are added to its own, and what else is zero
	// stays as it was.
	NotModified bool
	// NotFound says that the origin has no such value. That is cached too, for
	// TTL: give it tags of what would change it. Without any it is known for a
	// minute at most.
	NotFound bool
}

// Loader asks the origin for a key's value. It must see everything that was
// committed before it was called: not run in a transaction of its caller's,
// not read a replica that lags ([RequiredSource] says how far it must be).
// Cached reads with its ctx are followed: they are as fresh as the read that
// it runs for demands, and the value dies with everything that went into it.
type Loader func(ctx context.Context, key string) (Loaded, error)

// Version is a row version; the zero one is absent.
type Version = events.Version

// Level is how fresh a read must be.
type Level = consistency.Level

// Token is what a session has seen. Pass its String on to other processes.
type Token = consistency.Token

// Eventual asks for what is there.
func Eventual() Level { return consistency.Eventual() }

// Bounded asks for a staleness of at most d; by default, and at most, the
// domain's lease.
func Bounded(d time.Duration) Level { return consistency.Bounded(d) }

// Session asks for at least what t's holder has seen or written.
func Session(t Token) Level { return consistency.Session(t) }

// Strong asks for the newest value in the log at the moment of the call.
func Strong() Level { return consistency.Strong() }

// ParseToken reads what Token.String wrote.
func ParseToken(s string) (Token, error) { return consistency.ParseToken(s) }

func (c Config) withDefaults() Config {
	preset(&c.NATSURL, nats.DefaultURL)
	preset(&c.L1Size, 64<<20)
	preset(&c.L3Size, 10<<30)
	preset(&c.DiskCache, 32<<20)
	preset(&c.AuditRate, 1)
	preset(&c.SnapshotRate, 32<<20)
	preset(&c.Compression, CompressAuto)
	preset(&c.MaxValue, 16<<20)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NodeID == "" {
		c.NodeID = defaultNodeID()
	}
	return c
}

func preset[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func defaultNodeID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%.100s-%s", host, hex.EncodeToString(b[:]))
}
