package lint

import (
	"path"
	"strings"
	"testing"
)

// law says what the packages in a part of the tree may import. It binds
// everything but tests, which may reach for a neighbour to stand on.
type law struct {
	// in are the packages that it binds, below the module: a path, or a path
	// and "/..." for all below it too.
	in []string
	// except are packages in there that it does not bind.
	except []string
	// ours: of the project's own packages only these may be imported. Nil:
	// any.
	ours []string
	// never: import paths, of our own or anybody's, that may not be imported.
	// A trailing "/..." covers all below.
	never []string
	why   string
}

var none = []string{}

// impure is what a package whose runs are to be replayed can't touch.
var impure = []string{
	"context", "io/fs", "log/...", "math/rand/...", "crypto/rand", "net/...", "os/...", "runtime/...",
	"sync/...", "syscall", "testing/...", "golang.org/x/sync/...", "golang.org/x/sys/...",
}

var technology = []string{
	"github.com/nats-io/...", "github.com/redis/...", "github.com/coocood/...", "github.com/cockroachdb/pebble/...",
	"github.com/ThreeDotsLabs/...", "github.com/tidwall/redcon/...", "github.com/alicebob/...",
}

// faults is the package that any other may import, the pure ones too: it holds
// switches that are constants in what ships, and one line where a remedy stands
// is all that keeps a test of that remedy honest.
const faults = "internal/mutant"

var laws = []law{
	{
		in: []string{faults}, ours: none,
		why: "everybody may import the switches, so they import nobody",
	},
	{
		in: []string{"internal/events"}, ours: none,
		why: "the nouns of the log are what everybody talks about; they know nobody",
	},
	{
		in: []string{"internal/events"}, never: []string{"sync/...", "os/...", "net/...", "log/...", "math/rand/...", "golang.org/x/sync/..."},
		why: "nouns and their wire form do no I/O and draw no randomness of their own",
	},
	{
		in: []string{"internal/coherence", "internal/consistency"}, ours: []string{"internal/events"},
		why: "what the log means, and what a reader may see, follow from the log's records and nothing else",
	},
	{
		in: []string{"internal/coherence", "internal/consistency"}, never: impure,
		why: "pure: no clock, I/O, goroutine, lock, logger or randomness, so that a failing run is a list of records",
	},
	{
		in: []string{"internal/placement"}, ours: []string{"internal/events"},
		why: "who owns a slot follows from who is there, by name and weight, and nothing else",
	},
	{
		in: []string{"internal/placement"}, never: append([]string{"time"}, impure...),
		why: "pure: two nodes that see the same members must name the same owners",
	},
	{
		in: []string{"internal/coherence"}, never: []string{"time"},
		why: "a position is the only clock that coherence ever uses",
	},
	{
		in: []string{"internal/invalidator/rules", "internal/invalidator/domainevent", "internal/invalidator/backtest"}, never: []string{"context", "log/...", "math/rand/...", "crypto/rand", "net", "net/http/...", "golang.org/x/sync/..."},
		why: "what an event invalidates follows from the event and the rules alone, so that rules can be checked and back-tested without a deployment",
	},
	{
		in:   []string{"internal/events/jslog", "internal/events/memlog", "internal/events/logtest", "internal/events/groupcommit"},
		ours: []string{"internal/events/...", "internal/clock/clocktest"},
		why:  "a log keeps records in order; what they mean is not its business",
	},
	{
		in: []string{"internal/tiers/..."}, except: []string{"internal/tiers/redis"}, ours: []string{"internal/events", "internal/tiers/..."},
		why: "tiers hold bytes and positions; whether a copy is alive is decided by those who ask them",
	},
	{
		in: []string{"internal/tiers/redis"}, ours: []string{"internal/events", "internal/tiers", "internal/turn"},
		why: "tiers hold bytes and positions; a shared one grants turns to fill it too",
	},
	{
		in: []string{"internal/turn"}, ours: []string{"internal/events"},
		why: "whose turn it is to load follows from who asked, and when",
	},
	{
		in: []string{"internal/turn"}, never: impure,
		why: "pure: owners, simulations and tests grant turns by the same table, at times that they are told",
	},
	{
		in: []string{"internal/clock/..."}, ours: []string{"internal/clock/..."},
		why: "a clock knows the time and nobody else",
	},
	{
		in: []string{"internal/node"}, ours: []string{"internal/clock", "internal/coherence", "internal/consistency", "internal/events", "internal/placement", "internal/tiers", "internal/turn"},
		why: "the node is where these meet; everything else is behind its ports, so that a simulation can fill them",
	},
	{
		in: []string{"internal/node"}, never: technology,
		why: "technology is chosen in cmd and pkg/client, not in the shell",
	},
	{
		in: []string{"internal/snapshot"}, ours: []string{"internal/events", "internal/tiers", "internal/tiers/seal"},
		why: "an image is rows and a place in the log; what rows mean is for the node that begins with them",
	},
	{
		in: []string{"internal/snapshot"}, never: []string{"os/...", "net/...", "github.com/nats-io/...", "github.com/minio/..."},
		why: "where images lie is behind a port",
	},
	{
		in: []string{"internal/snapshot/..."}, except: []string{"internal/snapshot"}, ours: []string{"internal/events", "internal/snapshot/..."},
		why: "a store keeps objects; what is in them is not its business",
	},
	{
		in: []string{"internal/...", "pkg/..."}, except: []string{"internal/snapshot/s3"},
		never: []string{"github.com/minio/..."},
		why:   "who embeds us does not link a client of S3",
	},
	{
		in: []string{"internal/replay"}, ours: []string{"internal/events", "internal/tiers"},
		why: "what is replayed is records; what they mean is for those who take them",
	},
	{
		in: []string{"internal/replay/chronicle"}, ours: []string{"internal/events", "internal/tiers", "internal/coherence", "internal/replay"},
		why: "a key's history follows from the records and the rules that nodes judge by",
	},
	{
		in: []string{"internal/replay/chronicle"}, never: impure,
		why: "pure: a history that was told twice is the same",
	},
	{
		in: []string{"internal/outbox"}, ours: none,
		why: "an outbox keeps bytes until somebody has taken them; what they mean is not its business",
	},
	{
		in: []string{"internal/server/..."}, ours: []string{"internal/server/...", "internal/node", "internal/events", "internal/consistency", "internal/coherence", "internal/tiers", "internal/telemetry/..."},
		why: "a server translates between a protocol and a node",
	},
	{
		in: []string{"pkg/...", "internal/..."}, never: []string{module + "/cmd/..."},
		why: "commands are the outermost ring: they import, nobody imports them",
	},
	{
		in: []string{"pkg/...", "internal/...", "cmd/..."}, except: []string{"internal/trial/...", "internal/chaos/...", "cmd/tercet"}, never: []string{module + "/test/..."},
		why: "what ships does not stand on what tests it",
	},
	{
		in:    []string{"cmd/tercet"},
		never: []string{module + "/test/exhaustive/...", module + "/test/history/...", module + "/test/mutants/...", module + "/test/process/...", module + "/test/sim/..."},
		why:   "tercet chaos plays scenarios for users, and stands on test/chaos alone for that",
	},
	{
		in: []string{"internal/..."}, except: []string{"internal/trial/..."}, never: []string{module + "/pkg/..."},
		why: "pkg is made of internal, not the other way round",
	},
	{
		in: []string{"internal/...", "pkg/..."},
		except: []string{
			"internal/events/jslog", "internal/peers", "internal/copies", "internal/invalidator", "internal/warmer/...", "internal/config",
			"internal/trial/...", "internal/snapshot/...", "internal/backup", "pkg/client",
		},
		never: []string{"github.com/nats-io/..."},
		why:   "NATS has one adapter for the log, and the edges that listen to it; whoever else needs it needs a port",
	},
	{
		in: []string{"internal/...", "pkg/..."}, except: []string{"internal/tiers/redis", "internal/config", "internal/trial/...", "pkg/client"},
		never: []string{"github.com/redis/..."},
		why:   "Redis has one adapter; where it is reached is wired in pkg/client",
	},
	{
		in: []string{"internal/...", "pkg/..."}, never: []string{"go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/exporters/..."},
		why: "whether and where spans are recorded is decided by the program that embeds us; here is OpenTelemetry's API alone",
	},
	{
		in: []string{"internal/...", "pkg/...", "cmd/..."}, except: []string{"internal/tiers/memory"},
		never: []string{"github.com/coocood/..."},
		why:   "freecache's traps are hidden in one place",
	},
	{
		in: []string{"internal/...", "pkg/...", "cmd/..."}, except: []string{"internal/tiers/disk", "internal/outbox"},
		never: []string{"github.com/cockroachdb/..."},
		why:   "pebble's defaults end the process; the places that open one replace them",
	},
	{
		in: []string{"internal/...", "pkg/...", "cmd/..."}, except: []string{"internal/invalidator", "internal/warmer/..."},
		never: []string{"github.com/ThreeDotsLabs/..."},
		why:   "Watermill routes domain events, at least once and in no order; no apply loop may stand on that",
	},
	{
		in: []string{"internal/...", "pkg/...", "cmd/..."}, never: []string{"modernc.org/...", "github.com/jackc/..."},
		why: "which driver a service's database takes is the service's choice; brackets speak database/sql",
	},
	{
		in: []string{"internal/...", "pkg/..."}, never: []string{"testing/...", "pgregory.net/rapid/...", "go.uber.org/goleak/...", "github.com/anishathalye/..."},
		except: []string{"internal/events/logtest", "internal/tiers/tiertest", "internal/server/servertest", "internal/clock/clocktest", "internal/turn/turntest", "internal/snapshot/storetest"},
		why:    "what ships does not link what tests it",
	},
}

// matches reports whether p is covered by pattern, a path or a path and "/...".
func matches(pattern, p string) bool {
	top, below := strings.CutSuffix(pattern, "/...")
	return p == top || below && strings.HasPrefix(p, top+"/")
}

func anyMatches(patterns []string, p string) bool {
	for _, pattern := range patterns {
		if matches(pattern, p) {
			return true
		}
	}
	return false
}

func importLaw(f *file) (out []complaint) {
	if f.test() {
		return nil
	}
	for _, l := range laws {
		if !anyMatches(l.in, f.dir()) || anyMatches(l.except, f.dir()) {
			continue
		}
		for p, at := range f.imports {
			own, isOurs := strings.CutPrefix(p, module+"/")
			if isOurs && l.ours != nil && own != f.dir() && own != faults && !anyMatches(l.ours, own) || anyMatches(l.never, p) {
				out = append(out, f.complain(at, "%s must not import %s: %s", f.dir(), p, l.why))
			}
		}
	}
	return out
}

func TestImportLaw(t *testing.T) { hold(t, importLaw) }

func TestImportLawRefuses(t *testing.T) {
	importing := func(p string) string { return "package x\nimport _ \"" + p + "\"" }
	refuse(t, importLaw, map[string]string{
		"internal/events/a.go: own":            importing(module + "/internal/coherence"),
		"internal/coherence/a.go: clock":       importing("time"),
		"internal/coherence/a.go: lock":        importing("sync"),
		"internal/coherence/a.go: atomics":     importing("sync/atomic"),
		"internal/coherence/a.go: logger":      importing("log/slog"),
		"internal/coherence/a.go: tiers":       importing(module + "/internal/tiers"),
		"internal/consistency/a.go: I/O":       importing("os"),
		"internal/consistency/a.go: random":    importing("math/rand/v2"),
		"internal/tiers/redis/a.go: meaning":   importing(module + "/internal/coherence"),
		"internal/node/a.go: log":              importing("github.com/nats-io/nats.go/jetstream"),
		"internal/node/a.go: adapter":          importing(module + "/internal/events/jslog"),
		"internal/node/a.go: tier":             importing(module + "/internal/tiers/disk"),
		"internal/server/resp/a.go: pebble":    importing("github.com/cockroachdb/pebble/v2"),
		"internal/server/resp/a.go: wiring":    importing(module + "/pkg/client"),
		"internal/snapshot/a.go: freecache":    importing("github.com/coocood/freecache"),
		"pkg/httpcache/a.go: nats":             importing("github.com/nats-io/nats.go"),
		"pkg/client/a.go: command":             importing(module + "/cmd/node"),
		"pkg/client/a.go: tests":               importing(module + "/test/process"),
		"cmd/node/a.go: tests":                 importing(module + "/test/chaos/run"),
		"cmd/tercet/a.go: other tests":         importing(module + "/test/process"),
		"pkg/sqlbracket/a.go: driver":          importing("github.com/jackc/pgx/v5/stdlib"),
		"internal/invalidator/rules/a.go: net": importing("net/http"),
		"internal/node/a.go: testing":          importing("testing"),
		"internal/mutant/a.go: anybody":        importing(module + "/internal/events"),
	}, map[string]string{
		"internal/coherence/a.go: nouns":      importing(module + "/internal/events"),
		"internal/coherence/a.go: switches":   importing(module + "/internal/mutant"),
		"internal/consistency/a.go: duration": importing("time"),
		"internal/node/a_test.go: test":       importing(module + "/internal/events/memlog"),
		"internal/events/jslog/a.go: adapter": importing("github.com/nats-io/nats.go"),
		"cmd/node/a.go: command":              importing("github.com/nats-io/nats.go"),
		"cmd/tercet/a.go: chaos":              importing(module + "/test/chaos/run"),
	})
}

// A law about packages that do not exist any more protects nothing.
func TestImportLawNamesWhatExists(t *testing.T) {
	there := map[string]bool{}
	for _, f := range tree(t) {
		for d := f.dir(); d != "."; d = path.Dir(d) {
			there[d] = true
		}
	}
	for _, core := range []string{"internal/events", "internal/coherence", "internal/consistency", "internal/tiers", "internal/node", "internal/clock", "pkg/client"} {
		if !there[core] {
			t.Errorf("%s is bound by laws but not in the tree", core)
		}
	}
}
