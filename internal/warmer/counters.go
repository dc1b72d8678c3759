package warmer

import "sync/atomic"

// Counters are what a warmer did since it was made.
type Counters struct {
	// Summaries of reads learnt, and those that could not be decoded.
	Summaries, BadSummaries uint64
	// Records seen, and those of them that were too old to act on.
	Records, PastRecords uint64
	// Victims are hot keys that records killed; Overflows those of them that
	// found the queue of settling keys full.
	Victims, Overflows uint64
	// Requests that went out, and those that could not.
	Requests, LostRequests uint64
	// Resets are changes of the log's history, or gaps, that were met.
	Resets uint64
	// Settling is how many keys wait at present; not a count.
	Settling uint64
}

type counters struct {
	summaries, badSummaries, records, pastRecords, victims, overflows,
	requests, lostRequests, resets, settling atomic.Uint64
}

func (c *counters) read() Counters {
	return Counters{
		Summaries: c.summaries.Load(), BadSummaries: c.badSummaries.Load(),
		Records: c.records.Load(), PastRecords: c.pastRecords.Load(),
		Victims: c.victims.Load(), Overflows: c.overflows.Load(),
		Requests: c.requests.Load(), LostRequests: c.lostRequests.Load(),
		Resets: c.resets.Load(), Settling: c.settling.Load(),
	}
}
