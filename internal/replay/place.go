package replay

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Place is where in a log to begin or to end: the first record, the last one, a
// position, or a time. The zero Place is the first record.
type Place struct {
	kind placeKind
	at   events.Position
	time time.Time
}

type placeKind uint8

const (
	placeFirst placeKind = iota
	placeLast
	placePosition
	placeTime
)

// First is the place of the first record.
func First() Place { return Place{kind: placeFirst} }

// Last is the place of the last record.
func Last() Place { return Place{kind: placeLast} }

// At is the place of a position.
func At(p events.Position) Place { return Place{kind: placePosition, at: p} }

// Time is the place of an instant, by the log's own timestamps.
func Time(t time.Time) Place { return Place{kind: placeTime, time: t} }

// Position returns the position that the place names, false if it is one of
// another kind.
func (p Place) Position() (events.Position, bool) { return p.at, p.kind == placePosition }

// ParsePlace reads first, last (or now), a position, a time (RFC 3339, or
// "2006-01-02 15:04:05", "2006-01-02 15:04" and "15:04:05" in now's zone), or how
// long ago, as -15m. Errors wrap [events.ErrInvalid].
func ParsePlace(s string, now time.Time) (Place, error) {
	switch s {
	case "first":
		return First(), nil
	case "last", "now":
		return Last(), nil
	}
	if n, err := strconv.ParseUint(s, 10, 63); err == nil && n > 0 {
		return At(events.Position(n)), nil
	}
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
			return Time(now.Add(-d)), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return Time(t), nil
		}
	}
	if t, err := time.ParseInLocation(time.TimeOnly, s, now.Location()); err == nil {
		y, m, d := now.Date()
		return Time(time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location())), nil
	}
	return Place{}, fmt.Errorf("%w place %q: want first, last, a position, a time such as %s, or how long ago, as -15m",
		events.ErrInvalid, s, now.Format("2006-01-02T15:04:05Z07:00"))
}

// begin returns the position of the first record at or behind the place.
func (p Place) begin(ctx context.Context, s Source, first, last events.Mark) (events.Position, error) {
	switch p.kind {
	case placeLast:
		return last.Position, nil
	case placePosition:
		return max(p.at, first.Position), nil
	case placeTime:
		return search(ctx, s, first, last, func(m events.Mark) bool { return m.Time >= p.time.UnixNano() })
	}
	return first.Position, nil
}

// end returns the position of the last record at or before the place; one below
// the first if there is none.
func (p Place) end(ctx context.Context, s Source, first, last events.Mark) (events.Position, error) {
	switch p.kind {
	case placeFirst:
		return first.Position, nil
	case placePosition:
		return min(p.at, last.Position), nil
	case placeTime:
		at, err := search(ctx, s, first, last, func(m events.Mark) bool { return m.Time > p.time.UnixNano() })
		return at - 1, err
	}
	return last.Position, nil
}

// search returns the first position whose record satisfies behind, one above the
// last if none does. A log's timestamps are its server's: where a new leader's
// clock lags behind the old one's they go back a little, and the answer is one of
// the places where the time was passed.
func search(ctx context.Context, s Source, first, last events.Mark, behind func(events.Mark) bool) (events.Position, error) {
	low, high := first.Position, last.Position+1
	for low < high {
		mid := low + (high-low)/2
		m, err := s.MarkAt(ctx, mid)
		if err != nil {
			return 0, err
		}
		// One that was trimmed meanwhile lies before everything that is held.
		if m.Position != 0 && behind(m) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low, nil
}
