package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// origin is the database: rows with the history of their versions, and the
// abort markers of brackets.
type origin struct {
	mu      sync.Mutex
	t       *Trace
	rows    map[string][]time.Duration // when version i+1 was committed
	commits []commit                   // in their order
	aborted map[events.BracketID]bool
}

func newOrigin(t *Trace) *origin {
	return &origin{t: t, rows: map[string][]time.Duration{}, aborted: map[events.BracketID]bool{}}
}

// commit is one transaction. How many there were before it, and itself, is its
// position.
type commit struct {
	at   time.Duration
	keys []string
}

// position returns that of the last commit.
func (o *origin) position() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.commits)
}

// replica returns the version of key on a replica that is behind by lag, but has
// come to a position at least.
func (o *origin) replica(key string, lag time.Duration, least int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, version := o.t.now(), 0
	for i, c := range o.commits {
		if (i < least || c.at <= now-lag) && slices.Contains(c.keys, key) {
			version++
		}
	}
	return version
}

// upTo returns the version of key after so many commits.
func (o *origin) upTo(key string, position int) (version int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.commits[:min(position, len(o.commits))] {
		if slices.Contains(c.keys, key) {
			version++
		}
	}
	return version
}

var errAborted = errors.New("sim: the bracket was aborted")

// commit gives each key its next version, in one transaction, unless the
// bracket (if it is one) was aborted.
func (o *origin) commit(bracket events.BracketID, keys ...string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aborted[bracket] {
		return errAborted
	}
	o.commits = append(o.commits, commit{at: o.t.now(), keys: keys})
	for _, k := range keys {
		o.rows[k] = append(o.rows[k], o.t.now())
	}
	return nil
}

// abort makes the commit of a bracket impossible, if it has not happened.
func (o *origin) abort(bracket events.BracketID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.aborted[bracket] = true
}

// read returns the version of key now; 0: no such row.
func (o *origin) read(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows[key])
}

// at returns the newest version committed before t.
func (o *origin) at(key string, t time.Duration) (version int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.rows[key] {
		if c >= t {
			break
		}
		version++
	}
	return version
}

// payload writes the versions of rows as a value; parse reads it.
func payload(keys []string, versions []int) []byte {
	var s []string
	for i, k := range keys {
		s = append(s, fmt.Sprintf("%s#%d", k, versions[i]))
	}
	return []byte(strings.Join(s, ","))
}

func parse(value []byte) (map[string]int, error) {
	out := map[string]int{}
	for _, s := range strings.Split(string(value), ",") {
		k, v, ok := strings.Cut(s, "#")
		n, err := strconv.Atoi(v)
		if !ok || err != nil {
			return nil, fmt.Errorf("value %q", value)
		}
		out[k] = n
	}
	return out, nil
}
