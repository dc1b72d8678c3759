package sim

import "github.com/raptorflow/tercet/internal/node"

// auditRate is how many reads a second each node audits in a run.
const auditRate = 20

// audited takes what a process's auditor found in its life. Where the log and
// the witness may both have lost what they knew, nothing is promised.
func (w *World) audited(m *machine, s node.AuditStats) {
	for range s.CheckedByLog {
		w.count.judged("audited reads")
	}
	if s.ViolationsByLog > 0 && w.plan.history != unwitnessed && w.plan.history != told {
		w.violate("G1 audit", "%s found %d of %d audited reads answered with dead copies", m.name, s.ViolationsByLog, s.CheckedByLog)
	}
}
