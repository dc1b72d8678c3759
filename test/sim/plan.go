package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// plan is what a seed decides before the run begins.
type plan struct {
	Seed     uint64
	settings events.Settings
	ttl      time.Duration
	patience time.Duration
	policy   node.Policy // how values live, and reads bear a slow origin

	machines      int
	disks         bool
	shared        bool
	witness       bool // in the shared tier
	members       bool // they keep testimonies for each other
	peers         bool
	copies        bool // processes exchange copies
	turns         bool // nodes load in turns
	guardSlots    int
	rates         []int // of the machines' clocks, in ppm
	history       historyMode
	witnessHolds  bool // the witness always answers and keeps what it was told
	upgrading     bool // the last machine reads records of the next wire version
	noise         noise
	length        time.Duration
	steps         []step
	keys          []string // rows, read through loaders
	bracketed     []string // rows that are only written under brackets
	registers     []string // values that only Puts write
	page          string   // made of two rows by a loader that reads through the cache
	slowLoads     float64
	lag           time.Duration // of the replica that loaders of keys read; 0: they read the primary
	deadWriters   float64
	zombieCommits float64
}

// historyMode says whether the log may lose what it acknowledged.
type historyMode int

const (
	// steady: it loses nothing but by trimming.
	steady historyMode = iota
	// witnessed: it may, and the witness survives.
	witnessed
	// unwitnessed: it may, and so may the witness.
	unwitnessed
	// told: it may, and what the members told each other is all there is.
	told
)

func (m historyMode) String() string {
	return [...]string{"steady", "lossy, witnessed", "lossy, unwitnessed", "lossy, members told"}[m]
}

// noise is how often what goes wrong all the time goes wrong: probabilities
// of each message or request.
type noise struct {
	publishSlow, requestLost, answerLost, refused       float64
	repeated, dropped, overtaken, stalled, deliverySlow float64
	peersLost, peersTwice, peersLate                    float64
	storeLost, storeReplyLost, storeLate                float64
	copiesLost, copiesTwice, copiesLate                 float64
}

// step is one operation or fault at its time.
type step struct {
	at      time.Duration
	what    string
	machine int
	key     int           // index; what it counts in depends on what
	choice  int           // among variants
	dur     time.Duration // how long a fault lasts, or an operation takes
	frac    float64
}

func (s step) String() string {
	return fmt.Sprintf("%9.6f %s machine %d key %d choice %d for %v (%.2f)", s.at.Seconds(), s.what, s.machine, s.key, s.choice, s.dur, s.frac)
}

const lease = time.Second

// partitions are the numbers that a run's domain may have.
var partitions = []int{1, 1, 3, 8}

// operations and their weights.
var operations = []weighted{
	{"read", 55}, {"session read", 12}, {"change", 14}, {"change everywhere", 8}, {"bracket", 7},
	{"put", 8}, {"put everywhere", 4}, {"invalidate", 3}, {"touch", 2}, {"read page", 6}, {"read batch", 6}, {"read softly", 5}, {"burst", 6}, {"race", 8},
}

// faults and their weights.
var faults = []weighted{
	{"crash", 6}, {"stop", 2}, {"pause", 4}, {"suspend", 3}, {"cut log", 5}, {"cut store", 3}, {"cut peers", 2},
	{"wall forward", 2}, {"wall back", 1}, {"disk dies", 1}, {"disk rolled back", 2}, {"disk cloned", 1}, {"snapshot restored", 2}, {"disk wiped", 1}, {"disk wiped, log trimmed", 3},
	{"store flushed", 1}, {"store rolled back", 3}, {"log trimmed", 3}, {"foreign record", 1}, {"future record", 1},
	{"log away", 1}, {"ids forgotten", 1}, {"disk synced", 2},
}

var historyFaults = []weighted{{"log rolled back", 5}, {"log recreated", 1}}

// holes are the ways in which records go missing in the middle of a log.
var holes = []weighted{{"log has a hole", 3}, {"log rolled back, then a hole", 2}}

var witnessFaults = []weighted{{"witness lost", 1}, {"witness rolled back", 1}}

type weighted struct {
	name   string
	weight int
}

func draw(d *dice, of []weighted) string {
	sum := 0
	for _, w := range of {
		sum += w.weight
	}
	at := d.n(sum)
	for _, w := range of {
		if at -= w.weight; at < 0 {
			return w.name
		}
	}
	panic("unreachable")
}

// newPlan draws a run.
func newPlan(seed uint64) *plan {
	d := newDice(seed, "plan")
	p := &plan{Seed: seed, machines: 3, length: 9 * time.Second}
	p.settings = events.Settings{
		Partitions: pick(d, partitions), Lease: lease, DriftPPM: pick(d, []int{10_000, 50_000, 200_000}),
		MaxTTL: time.Minute, Outage: time.Minute, InlineMax: pick(d, []int{64 << 10, 64 << 10, 0}),
		Policy: events.PolicyFence, Replicas: 1,
	}
	if d.chance(0.1) {
		p.settings.Policy = events.PolicyServe
	}
	p.ttl = p.settings.MaxTTL
	if d.chance(0.2) { // intents come near the end of retention within a run
		p.settings.MaxTTL, p.settings.Outage = time.Second, time.Second
		p.ttl = time.Second
	}
	p.patience = pick(d, []time.Duration{200 * time.Millisecond, 1500 * time.Millisecond})
	p.disks, p.shared = d.chance(0.8), d.chance(0.85)
	p.witness = p.shared && d.chance(0.9)
	p.peers = d.chance(0.85)
	p.guardSlots = pick(d, []int{1024, 1024, 1})
	for range p.machines {
		r := p.settings.DriftPPM
		p.rates = append(p.rates, pick(d, []int{-r, r, 0, d.n(2*r) - r}))
	}
	switch x := d.n(100); {
	case x < 30 && p.witness:
		p.history = witnessed
	case x < 42:
		p.history = unwitnessed
	}
	p.witnessHolds = p.history == witnessed
	quiet := func(most float64) float64 {
		if d.chance(0.5) {
			return 0
		}
		return most * float64(1+d.n(4)) / 4
	}
	p.noise = noise{
		publishSlow: quiet(0.15), requestLost: quiet(0.1), answerLost: quiet(0.15), refused: quiet(0.05),
		repeated: quiet(0.1), dropped: quiet(0.02), overtaken: quiet(0.05), stalled: quiet(0.01), deliverySlow: quiet(0.2),
		peersLost: quiet(0.3), peersTwice: quiet(0.2), peersLate: quiet(0.3),
		storeLost: quiet(0.1), storeReplyLost: quiet(0.1), storeLate: quiet(0.2),
	}
	p.keys = []string{"row:1", "row:2:x"}
	p.bracketed = []string{"bracket:1"}
	p.registers = []string{"value:1"}
	p.page = "page:1"
	p.slowLoads = quiet(0.4)
	p.deadWriters, p.zombieCommits = quiet(0.6), quiet(0.8)
	lag := pick(d, []time.Duration{0, 0, 50 * time.Millisecond, 700 * time.Millisecond})
	p.drawSteps(d)
	p.turns = d.chance(0.6)
	p.drawCopies()
	p.drawSwitches()
	p.drawPolicy()
	p.drawMembers()
	p.drawHoles()
	p.drawUpgrade()
	if p.history == steady && !slices.ContainsFunc(p.steps, trims) {
		p.lag = lag // what is lost of the log tells no position
	}
	return p
}

// drawPolicy draws how values live from dice of its own. Lives are short: within
// a run many end, are prolonged and serve as fallbacks.
func (p *plan) drawPolicy() {
	d := newDice(p.Seed, "plan of lives")
	if d.chance(0.4) {
		return
	}
	p.policy = node.Policy{
		TTL:     pick(d, []time.Duration{0, 300 * time.Millisecond, 2 * time.Second}),
		Sliding: pick(d, []time.Duration{0, 0, 200 * time.Millisecond}), EagerAfter: pick(d, []float64{0, 0.3, 0.8}),
		MaxStale: pick(d, []time.Duration{0, time.Second, 20 * time.Second}), Throttle: pick(d, []time.Duration{0, 200 * time.Millisecond}),
		SoftTimeout: pick(d, []time.Duration{0, 2 * time.Millisecond}), HardTimeout: pick(d, []time.Duration{0, 500 * time.Millisecond}),
		MemoryTTL: pick(d, []time.Duration{0, 100 * time.Millisecond}), Jitter: pick(d, []float64{0, 0.5}),
	}
}

func trims(s step) bool { return s.what == "log trimmed" || s.what == "disk wiped, log trimmed" }

// drawCopies draws from dice of its own, so that a seed's steps don't depend on
// it.
func (p *plan) drawCopies() {
	d := newDice(p.Seed, "plan of copies")
	p.copies = d.chance(0.6)
	p.noise.copiesLost = pick(d, []float64{0, 0.1, 0.3})
	p.noise.copiesTwice = pick(d, []float64{0, 0.2})
	p.noise.copiesLate = pick(d, []float64{0, 0.2, 0.5})
}

// drawHoles draws from dice of its own, too. What is lost in a hole counts as
// lost, so that a log which keeps everything has none.
func (p *plan) drawHoles() {
	d := newDice(p.Seed, "plan of holes")
	if p.history == steady || !d.chance(0.4) {
		return
	}
	for range 1 + d.n(2) {
		p.add(d, d.between(time.Second, p.length), draw(d, holes))
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
}

// upgrades are records of the next wire version, which mean something.
var upgrades = []weighted{{"record of the next version", 1}}

// drawUpgrade draws from dice of its own whether the fleet is upgraded one
// machine after the other, and somebody uses what is new too early.
func (p *plan) drawUpgrade() {
	d := newDice(p.Seed, "plan of versions")
	if p.history != steady || !d.chance(0.15) {
		return
	}
	p.upgrading = true
	for range 1 + d.n(3) {
		p.add(d, d.between(time.Second, p.length), draw(d, upgrades))
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
}

// drawMembers draws from dice of its own too. Where there is a shared tier that
// is a witness, the members stand in for it.
func (p *plan) drawMembers() {
	d := newDice(p.Seed, "plan of members")
	p.members = d.chance(0.7)
	if p.membersTell() && p.history == unwitnessed {
		p.history = told
		p.steps = append(p.steps, step{
			at: d.between(2*time.Second, p.length), what: "log rolled back, one is left", machine: d.n(p.machines), key: d.n(1 << 10), choice: d.n(1 << 10),
			dur: d.between(100*time.Millisecond, 600*time.Millisecond), frac: float64(d.n(1000)) / 1000,
		})
		slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
	}
}

// membersTell reports whether the members are the only witness.
func (p *plan) membersTell() bool { return p.members && !p.witness }

// drawSwitches draws when tiers are switched off, from dice of its own as well.
func (p *plan) drawSwitches() {
	d := newDice(p.Seed, "plan of switches")
	if !d.chance(0.3) {
		return
	}
	for range 1 + d.n(3) {
		p.add(d, d.between(500*time.Millisecond, p.length), "tier off")
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
}

func (p *plan) drawSteps(d *dice) {
	at := time.Duration(0)
	for range 40 + d.n(20) {
		// Half of the steps come in bunches.
		if d.chance(0.5) {
			at = d.between(300*time.Millisecond, p.length)
		} else {
			at += d.between(0, pick(d, []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond}))
		}
		p.add(d, at, draw(d, operations))
	}
	n := 1 + d.n(8)
	kinds := faults
	if p.history == unwitnessed {
		kinds = append(slices.Clone(kinds), witnessFaults...)
	}
	for range n {
		p.add(d, d.between(500*time.Millisecond, p.length), draw(d, kinds))
	}
	if p.history != steady {
		for range 1 + d.n(2) {
			p.add(d, d.between(1500*time.Millisecond, p.length), draw(d, historyFaults))
		}
	}
	slices.SortStableFunc(p.steps, func(a, b step) int { return int(a.at - b.at) })
}

func (p *plan) add(d *dice, at time.Duration, what string) {
	p.steps = append(p.steps, step{
		at: at, what: what, machine: d.n(p.machines), key: d.n(1 << 10), choice: d.n(1 << 10),
		dur: d.between(10*time.Millisecond, pick(d, []time.Duration{200 * time.Millisecond, 2500 * time.Millisecond})), frac: float64(d.n(1000)) / 1000,
	})
}
