package main

import (
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/origin/http"
	"github.com/raptorflow/tercet/internal/warmer"
	"github.com/raptorflow/tercet/pkg/client"
)

func join(all []ops.Samples) ops.Samples {
	return func() []ops.Sample {
		var out []ops.Sample
		for _, s := range all {
			out = append(out, s()...)
		}
		return out
	}
}

func sample(name, help string, v uint64) ops.Sample {
	return ops.Sample{Name: "tercet_" + name, Help: help, Value: float64(v)}
}

func samples(w *warmer.Warmer) ops.Samples {
	return func() []ops.Sample {
		c := w.Counters()
		return []ops.Sample{
			sample("warmer_summaries_total", "Summaries of reads learnt.", c.Summaries),
			sample("warmer_bad_summaries_total", "Summaries of reads that could not be decoded.", c.BadSummaries),
			sample("warmer_records_total", "Records of the log seen.", c.Records),
			sample("warmer_past_records_total", "Records that were too old to act on.", c.PastRecords),
			sample("warmer_victims_total", "Hot keys that records killed.", c.Victims),
			sample("warmer_overflows_total", "Hot keys that were dropped because too many wait.", c.Overflows),
			sample("warmer_requests_total", "Requests to load a key.", c.Requests),
			sample("warmer_lost_requests_total", "Requests that could not be queued.", c.LostRequests),
			sample("warmer_resets_total", "Changes of the log's history, or gaps, that were met.", c.Resets),
			sample("warmer_settling_keys", "Keys that wait to be requested.", c.Settling),
		}
	}
}

func workerSamples(n *client.Client) ops.Samples {
	return func() []ops.Sample {
		c := n.WarmingStats()
		return []ops.Sample{
			sample("warming_reloads_total", "Keys reloaded.", c.Reloaded),
			sample("warming_failures_total", "Keys whose load failed.", c.Failed),
			sample("warming_unroutable_total", "Keys left to another worker.", c.NoLoader),
			sample("warming_unstorable_total", "Keys whose origin forbids to store them.", c.NotStorable),
			sample("warming_expired_total", "Requests past their deadline.", c.Expired),
			sample("warming_malformed_total", "Requests that could not be decoded.", c.Malformed),
			sample("warming_given_up_total", "Requests that failed at their last delivery.", c.GivenUp),
			sample("warming_unanswered_total", "Answers that could not be sent.", c.Unanswered),
			sample("warming_fetch_failures_total", "Failed attempts to fetch requests.", c.FetchErrors),
		}
	}
}

func originSamples(o *http.Origin) ops.Samples {
	return func() []ops.Sample {
		c := o.Counters()
		return []ops.Sample{
			sample("origin_values_total", "Values fetched over HTTP.", c.Fetched),
			sample("origin_not_found_total", "Answers that there is no such value.", c.NotFound),
			sample("origin_failures_total", "Requests over HTTP that failed.", c.Failed),
			sample("origin_unstorable_total", "Answers that may not be stored.", c.Unstorable),
			sample("origin_bytes_total", "Bytes of values fetched over HTTP.", c.Bytes),
		}
	}
}
