package coherence

import "iter"

// Broad yields every broad fence that the World keeps, in no order: what
// [Restore] needs beside the state.
func (w *World) Broad() iter.Seq[BroadFence] {
	return func(yield func(BroadFence) bool) {
		if w.all != (Fence{}) && !yield(BroadFence{Kind: ByAll, Fence: w.all}) {
			return
		}
		for kind, fences := range map[Kind]map[string]Fence{ByTag: w.tags, ByPrefix: w.prefixes, ByGlob: w.globs} {
			for name, f := range fences {
				if !yield(BroadFence{Kind: kind, Name: name, Fence: f}) {
					return
				}
			}
		}
	}
}
