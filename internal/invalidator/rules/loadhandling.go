package rules

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// duration reads a time such as 250ms, 2s or 1m within bounds.
func (l *loader) duration(n *yaml.Node, what string, least, most time.Duration) time.Duration {
	before := len(l.faults)
	text := l.text(n, what)
	if len(l.faults) > before {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		hint := ""
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			hint = "with its unit: " + text + "ms or " + text + "s"
		}
		l.failAt(n.Line, n.Column, hint, "%s: %q is no duration such as 250ms or 2s", what, text)
	case d < least || d > most:
		l.fail(n, "%s: %v, want %v to %v", what, d, least, most)
	}
	return d
}

// number reads a whole number from 1 to most.
func (l *loader) number(n *yaml.Node, what string, most int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < 1 || v > most {
		l.fail(n, "%s: want a whole number from 1 to %d, have %s", what, most, kindOf(n))
		return 0
	}
	return v
}

// limit reads what a rule may clear.
func (l *loader) limit(n *yaml.Node) Limit {
	var limit Limit
	before := len(l.faults)
	l.mapping(n, "limit", fields{
		"names_per_minute": func(n *yaml.Node) { limit.Names = l.number(n, "names_per_minute", maxLimit) },
		"broad_per_minute": func(n *yaml.Node) { limit.Broad = l.number(n, "broad_per_minute", maxLimit) },
		"names_per_event":  func(n *yaml.Node) { limit.NamesPerEvent = l.number(n, "names_per_event", maxNames) },
		"then": func(n *yaml.Node) {
			switch t := l.text(n, "then"); t {
			case "park":
			case "coarse":
				limit.Coarse = true
			case "": // reported
			default:
				l.failAt(n.Line, n.Column, nearest(t, []string{"park", "coarse"}), "then: %q: want park or coarse", t)
			}
		},
	})
	if len(l.faults) == before && !limit.Limited() {
		l.fail(n, "limit: limits nothing: it needs names_per_minute, broad_per_minute or names_per_event")
	}
	return limit
}

// position reads the template of a source position: one text, not several.
func (l *loader) position(n *yaml.Node) *template {
	before := len(l.faults)
	text := l.text(n, "position")
	if len(l.faults) > before {
		return nil
	}
	t, err := parseTemplate(text, position)
	if err != nil {
		l.fail(n, "position: %v", err)
		return nil
	}
	for _, p := range t.parts {
		if p.field != nil && p.field.fansOut() {
			l.fail(n, "position: {%s} names several; a position is one", p.field.text)
		}
	}
	if !t.hasField() {
		l.fail(n, "position: %q is the same for every event; it needs a field, as in \"lsn:{data.lsn}\"", text)
	}
	return t
}
