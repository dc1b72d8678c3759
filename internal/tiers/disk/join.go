package disk

import (
	"maps"

	"github.com/raptorflow/tercet/internal/mutant"
)

// While pebble is held up, by a memtable that is being written out or by a
// compaction that has the processors, commits of a record or two arrive by the
// thousand a second. [pendingMax] of those last for less than a tenth of a
// second, and then the log would wait for the disk. So a commit joins the last
// one of its partition that the writer has yet to begin, up to these bounds; a
// catching-up node's commits are that large by themselves.
const (
	joinRows  = 1024
	joinBytes = 1 << 20 // of what is not rows: row versions, broad fences, checkpoints
)

// join adds c to the last commit of its partition, if that waits for the writer
// and has room, and reports whether it did. The two are then one: seen, written
// and lost together. Other jobs may stand between them; c overtakes those, as if
// they had come later.
func (p *pending) join(c *commit, most int) (bool, error) {
	if c.dropped || mutant.On(mutant.CommitsNotJoined) {
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.last(c.partition)
	if to == nil || to.begun && !mutant.On(mutant.BegunCommitJoined) ||
		!p.room(to, c, most) || to.b.Len()+c.b.Len() > joinBytes {
		return false, nil
	}
	if err := to.b.Apply(c.b, nil); err != nil {
		return false, err
	}
	for _, r := range c.rows {
		to.add(r)
	}
	maps.Copy(to.versions, c.versions)
	to.forgotten = max(to.forgotten, c.forgotten)
	to.ripe = to.ripe || len(c.rows) <= fewRows
	return true, nil
}

// room reports whether the rows of c may go into to, with up to most bytes of
// values beyond joinRows.
func (p *pending) room(to, c *commit, most int) bool {
	rows := len(to.rows) + len(c.rows)
	return rows <= joinRows || rows <= gatherRows && to.held+c.held <= most && len(p.commits) <= gatherMost
}

// last returns the commit that partition has handed in last, nil if the writer
// has done it. The caller holds mu.
func (p *pending) last(partition int) *commit {
	for i := len(p.commits) - 1; i >= 0; i-- {
		if p.commits[i].partition == partition {
			return p.commits[i]
		}
	}
	return nil
}

// begin keeps others from joining c, which the writer is about to write.
func (p *pending) begin(c *commit) {
	p.mu.Lock()
	c.begun = true
	p.mu.Unlock()
}
