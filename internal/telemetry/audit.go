package telemetry

import "github.com/prometheus/client_golang/prometheus"

var (
	auditReads      = desc("audit_reads_total", "Reads that the auditor took.")
	auditChecked    = desc("audit_checked_total", "Audited reads that could be judged again, by whom.", "by")
	auditViolations = desc("audit_violations_total", "Audited reads that were answered with a dead copy, by who judged so. More than 0 is a breach.", "by")
	auditUnknown    = desc("audit_unknown_total", "Audited reads that the log could not judge. They count as checked nowhere.")
	auditReread     = desc("audit_reread_total", "Audited reads for which the log's records were read again.")
	auditAbstained  = desc("audit_abstained_total", "Audited reads of which another node could not say.")
	writeReach      = desc("write_reach_seconds", "Time from a write's beginning until no node could serve what was before it, of the writes that were followed.")

	auditDescs = []*prometheus.Desc{auditReads, auditChecked, auditViolations, auditUnknown, auditReread, auditAbstained, writeReach}
)

func audit(s *stats, out chan<- prometheus.Metric) {
	a := &s.Audit
	send := func(d *prometheus.Desc, v uint64, by ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), by...)
	}
	send(auditReads, a.Reads)
	send(auditChecked, a.CheckedByLog, "log")
	send(auditChecked, a.CheckedByPeer, "node")
	send(auditViolations, a.ViolationsByLog, "log")
	send(auditUnknown, a.UnknownByLog)
	send(auditReread, a.Reread)
	send(auditViolations, a.ViolationsByPeer, "node")
	send(auditAbstained, a.Abstained)
	buckets := make(map[float64]uint64, len(a.Reach.Buckets))
	for bound, n := range a.Reach.Buckets {
		buckets[bound.Seconds()] = n
	}
	out <- prometheus.MustNewConstHistogram(writeReach, a.Reach.Count, a.Reach.Sum.Seconds(), buckets)
}
