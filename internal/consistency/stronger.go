package consistency

import "time"

// Stronger returns a level that keeps the promises of both: what a read within
// a loader is answered at, where the loader runs for a read of its own level.
func Stronger(a, b Level) Level {
	switch {
	case a.kind == KindStrong || b.kind == KindStrong:
		// Whatever a token has seen stands in the log by now.
		return Strong()
	case a.kind == KindEventual:
		return b
	case b.kind == KindEventual:
		return a
	}
	l := Level{bound: tighter(a.bound, b.bound)}
	if a.kind == KindSession || b.kind == KindSession {
		l.kind, l.token = KindSession, a.token.Join(b.token)
	}
	return l
}

// tighter returns the smaller bound; 0 is the lease, which is above all.
func tighter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Covers reports whether an answer that was given at l before a read of level
// other began may answer that read too. None may answer a strong read: it has
// to see what was written in between.
func (l Level) Covers(other Level) bool {
	switch other.kind {
	case KindStrong:
		return false
	case KindEventual:
		return true
	}
	if l.kind == KindEventual || l.kind != KindStrong && tighter(l.bound, other.bound) != l.bound {
		return false
	}
	for i, p := range other.token.points {
		if p != (Point{}) && (l.token.At(i).Epoch != p.Epoch || l.token.At(i).Position < p.Position) {
			return false
		}
	}
	return true
}
