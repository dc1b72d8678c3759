package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/raptorflow/tercet/internal/node"
)

type stats = node.Stats

// Node returns the metrics of a node, which snapshot reads.
func Node(snapshot func() node.Stats) prometheus.Collector {
	metrics := join(
		family("reads_answered", "Reads by the tier that answered; memory's are tercet_memory_lookups_total.", "source",
			labelled[stats]{"disk", func(s *stats) uint64 { return s.DiskHits }},
			labelled[stats]{"redis", func(s *stats) uint64 { return s.SharedHits }},
			labelled[stats]{"owner", func(s *stats) uint64 { return s.OwnerHits }},
			labelled[stats]{"none", func(s *stats) uint64 { return s.Misses }},
		),
		family("copies_rejected", "Copies that were found and were not alive, by tier.", "tier",
			labelled[stats]{"memory", func(s *stats) uint64 { return s.MemoryRejected }},
			labelled[stats]{"redis", func(s *stats) uint64 { return s.SharedDead }},
		),
		family("fences_applied", "Fences applied: of single keys, and of tags, prefixes, globs or all.", "scope",
			labelled[stats]{"key", func(s *stats) uint64 { return s.KeyFences }},
			labelled[stats]{"broad", func(s *stats) uint64 { return s.BroadFences }},
		),
		family("copies_received", "Copies that other nodes sent here, by what became of them.", "outcome",
			labelled[stats]{"kept", func(s *stats) uint64 { return s.CopiesKept }},
			labelled[stats]{"refused", func(s *stats) uint64 { return s.CopiesRefused }},
		),
		[]metric[stats]{
			counter("copies_sent", "Copies handed over for a key's owners.", func(s *stats) uint64 { return s.CopiesSent }),
			counter("copies_unsent", "Copies that were to go to an owner and did not: a full queue, too large, no way there.", func(s *stats) uint64 { return s.CopiesDropped }),
			counter("copies_arrived", "Copies that other nodes sent here.", func(s *stats) uint64 { return s.CopiesReceived }),
			counter("copies_lent", "Copies given to nodes that asked.", func(s *stats) uint64 { return s.CopiesLent }),
			counter("copies_moved", "Copies sent to new owners because members came or went.", func(s *stats) uint64 { return s.CopiesMoved }),
			counter("rebalances_started", "Walks over the disk because members came or went.", func(s *stats) uint64 { return s.Rebalances }),
			counter("rebalance_rows", "Copies looked at in such walks.", func(s *stats) uint64 { return s.RowsWalked }),
			gauge("rebalance_pending", "Whether members have come or gone and the copies have not followed yet (1).", func(s *stats) uint64 { return uint64(s.Unplaced) }),
			counter("fetches_asked", "Questions to a key's owners.", func(s *stats) uint64 { return s.Fetches }),
			counter("fetches_failed", "Questions to a key's owners that nobody answered in time.", func(s *stats) uint64 { return s.FetchesFailed }),
			counter("fetch_misses", "Keys that no owner had a live copy of.", func(s *stats) uint64 { return s.FetchMisses }),
			counter("loads_started", "Calls of loaders.", func(s *stats) uint64 { return s.Loads }),
			counter("loads_joined", "Readers that shared a load of another.", func(s *stats) uint64 { return s.Joined }),
			counter("loads_led", "Loads that held their key's turn in the domain.", func(s *stats) uint64 { return s.Led }),
			counter("loads_joined_fleet", "Loads that another node's answered.", func(s *stats) uint64 { return s.JoinedFleet }),
			counter("turns_lost", "Turns that were another node's when their load ended.", func(s *stats) uint64 { return s.TurnsLost }),
			seconds("turn_wait", "How long loads waited for their turn or for another node's answer, together.", func(s *stats) time.Duration { return s.TurnWait }),
			counter("loads_failed", "Loads that failed.", func(s *stats) uint64 { return s.LoadErrors }),
			counter("loads_shed", "Loads that were turned away because too many were under way.", func(s *stats) uint64 { return s.LoadsShed }),
			gauge("loads_running", "Calls of loaders under way.", func(s *stats) uint64 { return uint64(s.Origin.Running) }),
			gauge("loads_waiting", "Loads that wait for the origin.", func(s *stats) uint64 { return uint64(s.Origin.Waiting) }),
			gauge("loads_limit", "Loads that may run at once just now.", func(s *stats) uint64 { return uint64(s.Origin.Most) }),
			counter("loads_bypassing", "Loads past the cache.", func(s *stats) uint64 { return s.Bypasses }),
			counter("fallbacks_served", "Reads that were answered, marked as stale, after the copy's expiry or from behind a soft fence.", func(s *stats) uint64 { return s.Fallbacks }),
			counter("refreshes_due", "Reads that found a copy due for a load in the background.", func(s *stats) uint64 { return s.Refreshes }),
			counter("loads_unmodified", "Loads that found the value unchanged.", func(s *stats) uint64 { return s.NotModified }),
			counter("loads_slow", "Readers who did not wait for a load any longer.", func(s *stats) uint64 { return s.SlowLoads }),
			counter("fills_refused", "Loaded values that a fence had outrun.", func(s *stats) uint64 { return s.FillsRefused }),
			counter("fills_dropped", "Loaded values that were not kept because a queue was full.", func(s *stats) uint64 { return s.NotKept }),
			counter("writes_made", "Puts and invalidations of this node.", func(s *stats) uint64 { return s.Writes }),
			counter("records_applied", "Records of the log applied.", func(s *stats) uint64 { return s.Applied }),
			counter("records_undecodable", "Records that could not be decoded, and so fenced everything.", func(s *stats) uint64 { return s.Undecodable }),
			counter("copies_corrupt", "Damaged copies that were met.", func(s *stats) uint64 { return s.Corrupt }),
			counter("puts_outrun", "Puts that lost to a higher row version.", func(s *stats) uint64 { return s.Outrun }),
			counter("pulses_published", "Pulses published.", func(s *stats) uint64 { return s.Pulses }),
			counter("pulse_shortcuts", "Pulses whose acknowledgement proved that nothing was missing, before they were read back.", func(s *stats) uint64 { return s.Shortcuts }),
			counter("pulses_failed", "Pulses that could not be published.", func(s *stats) uint64 { return s.PulsesFailed }),
			counter("waits_expired", "Reads that waited for freshness in vain.", func(s *stats) uint64 { return s.WaitsTimedOut }),
			counter("epochs_opened", "Epochs opened in the log.", func(s *stats) uint64 { return s.Epochs }),
			counter("log_gaps", "Times that records which this node had not applied were gone from the log.", func(s *stats) uint64 { return s.Gaps }),
			counter("log_regressions", "Times that the log's history was found changed.", func(s *stats) uint64 { return s.Regressions }),
			counter("redis_errors", "Operations of the shared tier that failed.", func(s *stats) uint64 { return s.SharedErrors }),
			counter("witness_errors", "Operations of the witness that failed.", func(s *stats) uint64 { return s.WitnessErrors }),
			counter("witness_omissions", "Pulses and writes that went on without the witness.", func(s *stats) uint64 { return s.Unwitnessed }),
			counter("witness_traces", "Comparisons with an old witness that read the log from there.", func(s *stats) uint64 { return s.Traced }),
			counter("fences_pruned", "Fences forgotten because no copy can be as old.", func(s *stats) uint64 { return s.Pruned }),
			counter("acknowledgements_refused", "Acknowledgements of another history.", func(s *stats) uint64 { return s.AcksRefused }),
			counter("disks_lost", "Times that the disk tier was given up.", func(s *stats) uint64 { return s.DisksLost }),
			counter("disks_renewed", "Disks that were filled from the log after one was given up.", func(s *stats) uint64 { return s.DisksRenewed }),
			gauge("members", "Members of the domain, this node among them.", func(s *stats) uint64 { return uint64(max(s.Members, 0)) }),
		},
	)
	return &collector[stats]{snapshot: snapshot, metrics: metrics, more: func(s *stats, out chan<- prometheus.Metric) {
		partitions(s, out)
		audit(s, out)
	}, also: append(auditDescs, partitionDescs...)}
}

var (
	appliedPosition = desc("applied_position", "Position of the last record applied.", "partition")
	horizonPosition = desc("horizon_position", "Births below it are refused.", "partition")
	freshAge        = desc("fresh_age_seconds", "How long ago the node was known to be fresh; missing before it ever was.", "partition")
	joined          = desc("joined", "Whether the node has caught up with its log since it started (1) or not (0).", "partition")
	openBrackets    = desc("open_brackets", "Bracketed writes that are pending.", "partition")

	partitionDescs = []*prometheus.Desc{appliedPosition, horizonPosition, freshAge, joined, openBrackets}
)

func partitions(s *stats, out chan<- prometheus.Metric) {
	for i, p := range s.Partitions {
		send := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, strconv.Itoa(i))
		}
		send(appliedPosition, float64(p.Applied))
		send(horizonPosition, float64(p.Horizon))
		send(openBrackets, float64(p.Brackets))
		if p.Joined {
			send(joined, 1)
			send(freshAge, p.FreshAge.Seconds())
		} else {
			send(joined, 0)
		}
	}
}
