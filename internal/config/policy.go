package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/raptorflow/tercet/internal/events"
)

// KeyPolicy says how values of some keys live, and how reads of them bear a slow
// or failing origin. What it leaves open is zero; docs/RESILIENCE.md says what
// each field means.
type KeyPolicy struct {
	// Match is a prefix, which ends with ':', or a glob.
	Match                         string
	TTL, NegativeTTL              time.Duration
	Jitter, EagerAfter            float64
	Sliding                       time.Duration
	MaxStale                      time.Duration
	Fallback                      string // "", "fail", "reload" or "never"
	Throttle                      time.Duration
	SoftTimeout, HardTimeout      time.Duration
	MemoryTTL, DiskTTL, SharedTTL time.Duration
	place                         string // file and line
}

// policyFields are the settings of one element of "policies".
func policyFields(p *KeyPolicy) []setting {
	share := func(f *float64, most float64) value {
		return parsed[float64]{f, func(s string) (float64, error) {
			n, err := strconv.ParseFloat(s, 64)
			if err != nil || !(n >= 0 && n <= most) {
				return 0, fmt.Errorf("want a share, from 0 to %v", most)
			}
			return n, nil
		}, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }, "share"}
	}
	return []setting{
		{key: "match", value: checked(&p.Match, "pattern", pattern)},
		{key: "ttl", value: positive(&p.TTL)},
		{key: "negative_ttl", value: positive(&p.NegativeTTL)},
		{key: "jitter", value: share(&p.Jitter, 0.9)},
		{key: "sliding", value: duration(&p.Sliding)},
		{key: "eager_after", value: share(&p.EagerAfter, 0.99)},
		{key: "max_stale", value: duration(&p.MaxStale)},
		{key: "fallback", value: oneOf(&p.Fallback, "fail", "reload", "never")},
		{key: "throttle", value: duration(&p.Throttle)},
		{key: "soft_timeout", value: duration(&p.SoftTimeout)},
		{key: "hard_timeout", value: duration(&p.HardTimeout)},
		{key: "memory_ttl", value: duration(&p.MemoryTTL)},
		{key: "disk_ttl", value: duration(&p.DiskTTL)},
		{key: "redis_ttl", value: duration(&p.SharedTTL)},
	}
}

func pattern(s string) error {
	if strings.HasSuffix(s, ":") {
		return events.ValidatePrefix(s)
	}
	return events.ValidateGlob(s)
}

// policiesKey is the list in the file. It has no flag and no variable: what
// patterns say is no line's worth.
const policiesKey = "policies"

// policies reads the list.
func (d *document) policies(list *yaml.Node) {
	if list.Kind != yaml.SequenceNode {
		d.bad(list.Line, policiesKey, ErrValue, "want a list of patterns with settings", "begin each with - match:")
		return
	}
	for i, n := range list.Content {
		key := fmt.Sprintf("%s[%d]", policiesKey, i)
		if n.Kind != yaml.MappingNode {
			d.bad(n.Line, key, ErrValue, "want settings as name: value", "")
			continue
		}
		p := KeyPolicy{place: d.at(n.Line)}
		fields := policyFields(&p)
		seen := map[string]int{}
		for j := 0; j+1 < len(n.Content); j += 2 {
			d.policyField(key, fields, seen, n.Content[j], n.Content[j+1])
		}
		if seen["match"] == 0 {
			d.bad(n.Line, key, ErrMissing, "which keys it is for", "set match to a prefix or a glob; * is every key")
		}
		d.found = append(d.found, p)
	}
}

func (d *document) policyField(list string, fields []setting, seen map[string]int, name, v *yaml.Node) {
	key := list + "." + name.Value
	i := slices.IndexFunc(fields, func(s setting) bool { return s.key == name.Value })
	switch first := seen[name.Value]; {
	case i < 0:
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.key
		}
		d.bad(name.Line, key, ErrUnknown, "", suggest(name.Value, names))
		return
	case first != 0:
		d.bad(name.Line, key, ErrValue, fmt.Sprintf("stands in line %d already", first), "")
		return
	}
	seen[name.Value] = name.Line
	given, ok := d.scalar(v, key)
	if !ok {
		return
	}
	if err := fields[i].value.set(words(given)); err != nil {
		d.bad(v.Line, key, ErrValue, fmt.Sprintf("%q: %s", strings.Join(words(given), ","), err), "")
	}
}

// show returns what p says, in the words of the file.
func (p KeyPolicy) show() string {
	var said []string
	unsaid := policyFields(&KeyPolicy{})
	for i, f := range policyFields(&p) {
		if text := f.value.show(); text != unsaid[i].value.show() {
			said = append(said, f.key+"="+text)
		}
	}
	return strings.Join(said, " ")
}
