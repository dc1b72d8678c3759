package backtest

import "time"

// Report is what came of a run.
type Report struct {
	// Messages were read; Events were in them. Unreadable are messages that
	// hold something which is no event.
	Messages   int `json:"messages"`
	Events     int `json:"events"`
	Unreadable int `json:"unreadable"`
	// From and To are the first and the last message's time, where known.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Problems are some of the reasons why messages were unreadable.
	Problems []string `json:"problems,omitempty"`

	Candidate Outcome `json:"candidate"`
	// Running and Differences are missing where there was nothing to compare
	// with.
	Running     *Outcome     `json:"running,omitempty"`
	Differences *Differences `json:"differences,omitempty"`
}

// Outcome is what one set of rules makes of the events.
type Outcome struct {
	// Matched are events that a rule is about, Unmatched all others; of Failed
	// ones a part of a rule failed, and of Unreached ones it is not even known
	// what to fence instead.
	Matched   int `json:"matched"`
	Unmatched int `json:"unmatched"`
	Failed    int `json:"failed"`
	Unreached int `json:"unreached"`
	// Fenced counts names in all domains, each as often as an event asks for
	// it; Distinct each once, a lower bound if DistinctMore.
	Fenced       Names  `json:"fenced"`
	Distinct     int    `json:"distinct"`
	DistinctMore bool   `json:"distinct_more,omitempty"`
	Rules        []Rule `json:"rules"`
	// Top are the names that are fenced most often.
	Top []Top `json:"top,omitempty"`
	// UnmatchedTypes are the types of unmatched events, most frequent first.
	UnmatchedTypes []Top `json:"unmatched_types,omitempty"`
}

// Names counts names by kind.
type Names struct {
	Keys     int `json:"keys"`
	Tags     int `json:"tags"`
	Prefixes int `json:"prefixes"`
	Globs    int `json:"globs"`
	All      int `json:"all"`
}

// Single returns how many names are keys and tags, Broad how many cover more.
func (n Names) Single() int { return n.Keys + n.Tags }

// Broad returns how many names are prefixes, globs and whole domains.
func (n Names) Broad() int { return n.Prefixes + n.Globs + n.All }

// Sum returns how many names there are in all.
func (n Names) Sum() int { return n.Single() + n.Broad() }

func (n *Names) add(o Names) {
	n.Keys += o.Keys
	n.Tags += o.Tags
	n.Prefixes += o.Prefixes
	n.Globs += o.Globs
	n.All += o.All
}

// Rule is one rule's share.
type Rule struct {
	Name    string `json:"name"`
	Matched int    `json:"matched"`
	Failed  int    `json:"failed"`
	Fenced  Names  `json:"fenced"`
	// Busiest is the minute in which the rule fences most.
	Busiest Minute `json:"busiest_minute,omitzero"`
	// Beyond counts minutes in which the rule exceeds its limit, Large events
	// that do by themselves.
	Beyond int `json:"minutes_beyond_limit,omitempty"`
	Large  int `json:"events_beyond_limit,omitempty"`
}

// Minute is what a rule fences in a minute.
type Minute struct {
	At     time.Time `json:"at"`
	Single int       `json:"names"`
	Broad  int       `json:"broad"`
}

// Top is a name and how often it occurs.
type Top struct {
	Name  string `json:"name"`
	Times int    `json:"times"`
}

// Differences compare the two sets event by event.
type Differences struct {
	Same int `json:"same"`
	// Gone are events of which the candidate fences nothing any more, New
	// those of which only it fences anything, Changed those of which it fences
	// something else.
	Gone     int       `json:"gone"`
	New      int       `json:"new"`
	Changed  int       `json:"changed"`
	Examples []Example `json:"examples,omitempty"`
}

// Example is one event on which the sets differ.
type Example struct {
	Kind  string `json:"kind"` // gone, new or changed
	Event string `json:"event"`
	Type  string `json:"type"`
	// Less is what only the running rules fence, More what only the candidate
	// does.
	Less []string `json:"less,omitempty"`
	More []string `json:"more,omitempty"`
}
