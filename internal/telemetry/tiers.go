package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/redis"
)

// Memory returns the metrics of the tier in the process.
func Memory(snapshot func() memory.Stats) prometheus.Collector {
	type stats = memory.Stats
	return &collector[stats]{snapshot: snapshot, metrics: join(
		family("memory_lookups", "Lookups in memory by outcome; a copy that was not alive counts as a hit here.", "outcome",
			labelled[stats]{"hit", func(s *stats) uint64 { return s.Hits }},
			labelled[stats]{"miss", func(s *stats) uint64 { return s.Misses }},
		),
		family("memory_puts_refused", "Copies that memory did not take, by reason.", "reason",
			labelled[stats]{"too_large", func(s *stats) uint64 { return s.TooLarge }},
			labelled[stats]{"outdated", func(s *stats) uint64 { return s.Outdated }},
			labelled[stats]{"turned_away", func(s *stats) uint64 { return s.TurnedAway }},
		),
		[]metric[stats]{
			gauge("memory_entries_on_trial", "Copies in memory's small segment for keys that are new.", func(s *stats) uint64 { return s.Young }),
			gauge("memory_admission_generous", "1 while most new keys are let in at once, for that misses less.", func(s *stats) uint64 { return s.Generous }),
			counter("memory_entries_evacuated", "Entries moved or dropped to make room.", func(s *stats) uint64 { return s.Evacuated }),
			gauge("memory_capacity_bytes", "Size of the memory tier at present; less than configured while memory is short.", func(s *stats) uint64 { return s.Bytes }),
			counter("memory_resizes", "Changes of that size, each of which drops what memory holds.", func(s *stats) uint64 { return s.Resized }),
			gauge("memory_entries", "Copies in memory.", func(s *stats) uint64 { return s.Entries }),
		},
	)}
}

// Packing returns the metrics of what is done to values on their way out of
// memory and back.
func Packing(snapshot func() pack.Stats) prometheus.Collector {
	type stats = pack.Stats
	return &collector[stats]{snapshot: snapshot, metrics: join(
		family("packing_values", "Values on their way out of memory, by outcome.", "outcome",
			labelled[stats]{"compressed", func(s *stats) uint64 { return s.Packed }},
			labelled[stats]{"as_it_was", func(s *stats) uint64 { return s.Left }},
		),
		family("packing_opened", "Packed values on their way back, by outcome; but for ok each is a miss.", "outcome",
			labelled[stats]{"ok", func(s *stats) uint64 { return s.Opened }},
			labelled[stats]{"damaged", func(s *stats) uint64 { return s.Damaged }},
			labelled[stats]{"too_large", func(s *stats) uint64 { return s.TooLarge }},
			labelled[stats]{"not_opened", func(s *stats) uint64 { return s.NotOpened }},
		),
		[]metric[stats]{
			counter("packing_saved_bytes", "Bytes by which values got smaller.", func(s *stats) uint64 { return s.SavedBytes }),
			seconds("packing", "Time spent on packing.", func(s *stats) time.Duration { return s.PackTime }),
			seconds("packing_opening", "Time spent on opening.", func(s *stats) time.Duration { return s.OpenTime }),
		},
	)}
}

// Disk returns the metrics of the tier on this node's disk.
func Disk(snapshot func() disk.Stats) prometheus.Collector {
	type stats = disk.Stats
	return &collector[stats]{snapshot: snapshot, metrics: join(
		family("disk_fills", "Copies given to the disk by outcome.", "outcome",
			labelled[stats]{"stored", func(s *stats) uint64 { return s.Fills }},
			labelled[stats]{"outdated", func(s *stats) uint64 { return s.Outdated }},
			labelled[stats]{"too_large", func(s *stats) uint64 { return s.TooLarge }},
		),
		family("disk_values", "Values that found no room on disk, or no room any more, by what became of them.", "outcome",
			labelled[stats]{"evicted", func(s *stats) uint64 { return s.Evicted }},
			labelled[stats]{"unkept", func(s *stats) uint64 { return s.Unkept }},
		),
		family("disk_blocks_read", "Blocks read by whether they were in the block cache.", "cache",
			labelled[stats]{"hit", func(s *stats) uint64 { return s.CacheHits }},
			labelled[stats]{"miss", func(s *stats) uint64 { return s.CacheMisses }},
		),
		[]metric[stats]{
			counter("disk_rows_corrupt", "Rows of which something could not be read.", func(s *stats) uint64 { return s.CorruptRows }),
			counter("disk_stalls", "Times that writes were held up.", func(s *stats) uint64 { return s.Stalls }),
			counter("disk_slow_operations", "Operations of the disk that took seconds.", func(s *stats) uint64 { return s.SlowDisk }),
			gauge("disk_bytes", "Bytes that the tier takes on disk.", func(s *stats) uint64 { return s.DiskBytes }),
			gauge("disk_memory_bytes", "Bytes of memory for the tier's blocks and tables.", func(s *stats) uint64 { return s.MemoryBytes }),
			gauge("disk_files", "Files of the tier.", func(s *stats) uint64 { return s.Files }),
		},
	)}
}

// Shared returns the metrics of the tier in Redis.
func Shared(snapshot func() redis.Stats) prometheus.Collector {
	type stats = redis.Stats
	breaker := desc("redis_breaker_open", "Whether Redis is not asked at present (1), tried (0.5) or asked (0).")
	return &collector[stats]{
		snapshot: snapshot,
		metrics: join(
			family("redis_gets", "Gets by outcome.", "outcome",
				labelled[stats]{"hit", func(s *stats) uint64 { return s.Hits }},
				labelled[stats]{"miss", func(s *stats) uint64 { return s.Misses }},
				labelled[stats]{"corrupt", func(s *stats) uint64 { return s.Corrupt }},
				labelled[stats]{"foreign", func(s *stats) uint64 { return s.Foreign }},
			),
			family("redis_puts", "Puts by outcome.", "outcome",
				labelled[stats]{"stored", func(s *stats) uint64 { return s.Stored }},
				labelled[stats]{"outdated", func(s *stats) uint64 { return s.Outdated }},
				labelled[stats]{"too_large", func(s *stats) uint64 { return s.TooLarge }},
			),
			[]metric[stats]{
				counter("redis_operations_failed", "Operations that failed for whatever reason.", func(s *stats) uint64 { return s.Unavailable }),
				counter("redis_operations_turned_away", "Operations for which there was no room.", func(s *stats) uint64 { return s.TurnedAway }),
				counter("redis_trips", "Round trips.", func(s *stats) uint64 { return s.Trips }),
				counter("redis_commands", "Commands that those carried.", func(s *stats) uint64 { return s.Commands }),
				gauge("redis_operations_inside", "Operations under way.", func(s *stats) uint64 { return uint64(max(s.Inside, 0)) }),
			},
		),
		also: []*prometheus.Desc{breaker},
		more: func(s *stats, out chan<- prometheus.Metric) {
			v := map[string]float64{"open": 1, "half-open": 0.5}[s.Breaker]
			out <- prometheus.MustNewConstMetric(breaker, prometheus.GaugeValue, v)
		},
	}
}

// Clients is what a server of Redis clients counts.
type Clients struct {
	Connected         int
	Commands          uint64
	Accepted, Refused uint64
}

// RESP returns the metrics of a server of Redis clients.
func RESP(snapshot func() Clients) prometheus.Collector {
	return &collector[Clients]{snapshot: snapshot, metrics: join(
		family("resp_connections", "Connections of Redis clients by what became of them.", "outcome",
			labelled[Clients]{"accepted", func(s *Clients) uint64 { return s.Accepted }},
			labelled[Clients]{"refused", func(s *Clients) uint64 { return s.Refused }},
		),
		[]metric[Clients]{
			counter("resp_commands", "Commands of Redis clients.", func(s *Clients) uint64 { return s.Commands }),
			gauge("resp_clients", "Redis clients that are connected.", func(s *Clients) uint64 { return uint64(max(s.Connected, 0)) }),
		},
	)}
}
