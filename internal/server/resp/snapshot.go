package resp

import "context"

const errNoSnapshots = replyError("ERR this node keeps no snapshots: set snapshot_dir")

// SnapshotOrder is what a client wants a snapshot to be.
type SnapshotOrder struct {
	// Fences leaves values out.
	Fences bool
	// Increment writes only what differs from the newest of its kind.
	Increment bool
}

// cmdTercetSnapshot makes a snapshot of this node, and answers its id when it is
// in the store: TERCET.SNAPSHOT [FULL|FENCES] [INCREMENT]. It takes as long as it
// takes; the connection's later commands wait.
func cmdTercetSnapshot(c *conn, _ context.Context, args [][]byte) error {
	var o SnapshotOrder
	if len(args) > 0 {
		switch word(args[0]) {
		case "full":
			args = args[1:]
		case "fences":
			o.Fences, args = true, args[1:]
		}
	}
	if len(args) > 0 && word(args[0]) == "increment" {
		o.Increment, args = true, args[1:]
	}
	if len(args) > 0 {
		return errSyntax
	}
	if c.srv.snapshot == nil {
		return errNoSnapshots
	}
	id, err := c.srv.snapshot(c.work, o)
	if err != nil {
		return replyError("ERR " + oneLine(err))
	}
	c.out.text(id)
	return nil
}
