package rules

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

const (
	// maxFile bounds a rule file in bytes, maxRules its rules.
	maxFile  = 4 << 20
	maxRules = 10_000
)

// Options say what a rule file leaves open.
type Options struct {
	// Domains are those of rules that neither name any nor stand in a file
	// that does.
	Domains []string
}

// Parse compiles a rule file. File is its name for errors. An error is one
// *[LoadError] or several joined, and wraps [ErrInvalid].
func Parse(file string, text []byte, o Options) (*Set, error) {
	l := &loader{file: file}
	if len(text) > maxFile {
		l.failAt(1, 1, "", "%d bytes, at most %d", len(text), maxFile)
		return nil, errors.Join(l.faults...)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		l.failYAML(err)
		return nil, errors.Join(l.faults...)
	}
	if len(document.Content) == 0 {
		l.failAt(1, 1, "", "the file is empty; it needs `rules`")
		return nil, errors.Join(l.faults...)
	}
	env, err := newEnv()
	if err != nil {
		return nil, err
	}
	l.env = env
	set := l.load(document.Content[0], o.Domains)
	if len(l.faults) > 0 {
		return nil, errors.Join(l.faults...)
	}
	return set, nil
}

// loader turns nodes into rules and gathers faults, so that an author sees all
// of them at once.
type loader struct {
	file   string
	env    *cel.Env
	faults []error
	// vocabulary, if not nil, is filled with the fields that are known of each
	// kind of mapping.
	vocabulary map[string][]string
}

func (l *loader) load(n *yaml.Node, domains []string) *Set {
	var nodes []*yaml.Node
	var common Limit
	l.mapping(n, "a rule file", fields{
		"version": func(n *yaml.Node) {
			if n.Value != "1" {
				l.fail(n, "version %q: this build knows version 1", n.Value)
			}
		},
		"domains": func(n *yaml.Node) { domains = l.domains(n) },
		"limit":   func(n *yaml.Node) { common = l.limit(n) },
		"rules":   func(n *yaml.Node) { nodes = l.sequence(n, "rules") },
	})
	if len(l.faults) == 0 && len(nodes) == 0 {
		l.fail(n, "the file has no rules")
	}
	if len(nodes) > maxRules {
		l.fail(n, "%d rules, at most %d", len(nodes), maxRules)
		return nil
	}
	seen := map[string]int{}
	rules := make([]*rule, 0, len(nodes))
	for _, node := range nodes {
		r := l.rule(node, domains, common)
		if first, twice := seen[r.name]; twice && r.name != "" {
			l.fail(node, "rule %q: the name is taken by the rule in line %d", r.name, first)
		}
		seen[r.name] = node.Line
		rules = append(rules, r)
	}
	return newSet(rules)
}

func (l *loader) rule(n *yaml.Node, domains []string, common Limit) *rule {
	r := &rule{domains: domains, limit: common}
	before := len(l.faults)
	limited := n // where a fault of the limit is reported
	f := fields{
		"name":    func(n *yaml.Node) { r.name = l.text(n, "name") },
		"match":   func(n *yaml.Node) { r.match = l.match(n) },
		"when":    func(n *yaml.Node) { r.when = l.condition(n) },
		"domains": func(n *yaml.Node) { r.domains = l.domains(n) },
		"all":     func(n *yaml.Node) { r.all = l.bool(n, "all") },
		"soft":    func(n *yaml.Node) { r.soft = l.bool(n, "soft") },
		"warm":    func(n *yaml.Node) { r.warm = l.bool(n, "warm") },
		"reach":   func(n *yaml.Node) { r.reach = l.reach(n) },
		"settle": func(n *yaml.Node) {
			r.handling.Settle = l.duration(n, "settle", MinSettle, MaxSettle)
		},
		"coalesce": func(n *yaml.Node) {
			r.handling.Coalesce = l.duration(n, "coalesce", MinCoalesce, MaxCoalesce)
		},
		"everywhere": func(n *yaml.Node) { r.handling.Everywhere = l.bool(n, "everywhere") },
		"limit":      func(n *yaml.Node) { r.limit, limited = l.limit(n), n },
		"position":   func(n *yaml.Node) { r.position = l.position(n) },
	}
	for k := range kinds {
		f[k.String()] = func(n *yaml.Node) { r.outputs = append(r.outputs, l.templates(n, k)...) }
		f[k.String()+"_cel"] = func(n *yaml.Node) { r.outputs = append(r.outputs, l.names(n, k)...) }
	}
	l.mapping(n, "a rule", f)
	if len(l.faults) > before {
		return r
	}
	switch m := &r.match; {
	case r.name == "":
		l.fail(n, "a rule without a name")
	case len(m.types)+len(m.sources)+len(m.subjects)+len(m.channels)+len(m.tables)+len(m.connectors)+len(m.operations) == 0:
		l.fail(n, "rule %q: matches nothing in particular; to match every event say `match: {type: \"*\"}`", r.name)
	case len(r.outputs) == 0 && !r.all:
		l.fail(n, "rule %q: names nothing: it needs keys, tags, prefixes, globs or all", r.name)
	case len(r.domains) == 0:
		l.fail(n, "rule %q: no domain; name some under `domains` of the rule or of the file", r.name)
	case r.limit.Coarse:
		if _, known := r.wholeReach(); !known {
			l.fail(limited, "rule %q: `then: coarse` fences the rule's reach, which can't be told from its names; declare a `reach`", r.name)
		}
	}
	return r
}

func (l *loader) match(n *yaml.Node) match {
	var m match
	f := fields{"operation": func(n *yaml.Node) { m.operations = l.operations(n) }}
	for name, dst := range map[string]*[]string{
		"type": &m.types, "source": &m.sources, "subject": &m.subjects,
		"channel": &m.channels, "table": &m.tables, "connector": &m.connectors,
	} {
		f[name] = func(n *yaml.Node) { *dst = l.patterns(n, name) }
	}
	l.mapping(n, "match", f)
	return m
}

func (l *loader) patterns(n *yaml.Node, what string) []string {
	list := l.texts(n, what)
	for _, t := range list {
		if err := events.ValidateGlob(t.text); err != nil {
			l.fail(t.node, "%s: %v", what, err)
		}
	}
	return values(list)
}

func (l *loader) operations(n *yaml.Node) []domainevent.Operation {
	known := make([]string, len(domainevent.Operations))
	for i, o := range domainevent.Operations {
		known[i] = string(o)
	}
	var operations []domainevent.Operation
next:
	for _, t := range l.texts(n, "operation") {
		for _, o := range domainevent.Operations {
			if string(o) == t.text {
				operations = append(operations, o)
				continue next
			}
		}
		l.failAt(t.node.Line, t.node.Column, nearest(t.text, known), "operation %q: want one of %s", t.text, strings.Join(known, ", "))
	}
	return operations
}

func (l *loader) domains(n *yaml.Node) []string {
	list := l.texts(n, "domains")
	for _, t := range list {
		if err := events.ValidateDomain(t.text); err != nil {
			l.fail(t.node, "%v", err)
		}
	}
	return values(list)
}

func (l *loader) templates(n *yaml.Node, k kind) []output {
	var outputs []output
	for i, t := range l.texts(n, k.String()) {
		parsed, err := parseTemplate(t.text, k)
		if err != nil {
			l.fail(t.node, "%v", err)
			continue
		}
		outputs = append(outputs, output{part: fmt.Sprintf("%s[%d]", k, i), kind: k, template: parsed})
	}
	return outputs
}

func (l *loader) names(n *yaml.Node, k kind) []output {
	part := k.String() + "_cel"
	x, err := compileNames(l.env, l.text(n, part), k)
	if err != nil {
		l.fail(n, "%v", err)
		return nil
	}
	return []output{{part: part, kind: k, expression: x}}
}

func (l *loader) condition(n *yaml.Node) *expression {
	x, err := compileCondition(l.env, l.text(n, "when"))
	if err != nil {
		l.fail(n, "%v", err)
	}
	return x
}

// reach reads a scope of literal names.
func (l *loader) reach(n *yaml.Node) *events.Scope {
	s := &events.Scope{}
	literal := func(dst *[]string, k kind) func(*yaml.Node) {
		return func(n *yaml.Node) {
			list := l.texts(n, k.String())
			for _, t := range list {
				if err := k.validate(t.text); err != nil {
					l.fail(t.node, "%v", err)
				}
			}
			*dst = values(list)
		}
	}
	before := len(l.faults)
	l.mapping(n, "reach", fields{
		"keys": literal(&s.Keys, keys), "tags": literal(&s.Tags, tags),
		"prefixes": literal(&s.Prefixes, prefixes), "globs": literal(&s.Globs, globs),
		"all": func(n *yaml.Node) { s.All = l.bool(n, "all") },
	})
	if len(l.faults) == before && s.Empty() {
		l.fail(n, "reach: covers nothing")
	}
	return s
}
