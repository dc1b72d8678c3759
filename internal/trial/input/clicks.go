package input

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// readClicks reads sessions of clicks on a shop's items: SessionId, ItemId and
// Time in Unix seconds. Lines of one session stand together, so times may go
// back; they are then taken as they come.
func readClicks(s *source, o Options) (*Workload, error) {
	if err := s.skipHeader(); err != nil {
		return nil, err
	}
	t := newTrace(o, shelfTags)
	err := s.each(t.more, func(line string) error {
		f := strings.Split(line, "\t")
		if len(f) < 3 {
			return s.malformed("%d fields, want 3 separated by tabs: SessionId, ItemId, Time", len(f))
		}
		if _, err := strconv.ParseUint(f[1], 10, 63); err != nil {
			return s.malformed("ItemId %q: want a number", clip(f[1]))
		}
		at, err := strconv.ParseFloat(f[2], 64)
		if err != nil || at < 0 || at > math.MaxInt32*4.0 {
			return s.malformed("Time %q: want Unix seconds", clip(f[2]))
		}
		t.at(time.UnixMilli(int64(at * 1000)).UTC())
		t.read("item:" + f[1])
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.finish(s.path, "clicks of a shop's visitors")
}

// shelves is how many tags the items are spread over.
const shelves = 40

// shelfTags puts an item on a shelf, by its number's last digits.
func shelfTags(key string) []string {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, "item:"), 10, 63)
	if err != nil {
		return nil
	}
	return []string{"shelf:" + strconv.FormatUint(n%shelves, 10)}
}
