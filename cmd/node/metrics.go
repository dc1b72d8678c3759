package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/raptorflow/tercet/internal/server/resp"
	"github.com/raptorflow/tercet/internal/telemetry"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/redis"
	"github.com/raptorflow/tercet/pkg/client"
)

func collectors(member *client.Client, clients *resp.Server, shared bool) []prometheus.Collector {
	all := []prometheus.Collector{
		telemetry.Node(member.Node().Stats),
		telemetry.Switches(member.Node().TierStates),
		telemetry.Memory(func() memory.Stats { return member.TierStats().Memory }),
		telemetry.Packing(func() pack.Stats { return member.TierStats().Packing }),
		telemetry.Disk(func() disk.Stats { return member.TierStats().Disk }),
	}
	if shared {
		all = append(all, telemetry.Shared(func() redis.Stats { return *member.TierStats().Shared }))
	}
	if member.Catalogue() != nil {
		all = append(all, telemetry.Snapshots(func() telemetry.SnapshotCounts {
			return telemetry.SnapshotCounts(member.SnapshotStats())
		}))
	}
	if clients != nil {
		all = append(all, telemetry.RESP(func() telemetry.Clients {
			return telemetry.Clients(clients.Stats())
		}))
	}
	return all
}
