package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/mutant"
)

// kind is the kind of names that a template renders.
type kind int

const (
	keys kind = iota
	tags
	prefixes
	globs
	kinds    // how many there are
	position // no name: the text of a source position
)

func (k kind) String() string {
	return [...]string{"keys", "tags", "prefixes", "globs", "", "position"}[k]
}

// ErrEverything reports a glob that no literal character narrows.
var ErrEverything = errors.New("matches everything; to clear the whole domain say `all: true`")

func (k kind) validate(name string) error {
	switch k {
	case keys:
		return events.ValidateKey(name)
	case tags:
		return events.ValidateTag(name)
	case prefixes:
		return events.ValidatePrefix(name)
	case position:
		if len(name) > events.MaxSource {
			return fmt.Errorf("a position of %d bytes, at most %d", len(name), events.MaxSource)
		}
		return nil
	}
	if name != "" && strings.Trim(name, "*?") == "" && !mutant.On(mutant.EverythingGlobTaken) {
		return fmt.Errorf("glob %q %w", name, ErrEverything)
	}
	return events.ValidateGlob(name)
}

// template renders names from an event: literal text with fields in braces.
// `{{` and `}}` stand for the braces themselves.
type template struct {
	text  string
	kind  kind
	parts []part
}

// part is a literal or, if field is set, a field's text.
type part struct {
	literal string
	field   *field
}

func parseTemplate(text string, k kind) (*template, error) {
	t := &template{text: text, kind: k}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			literal.WriteByte(c)
			i++
		case c == '}':
			return nil, fmt.Errorf("template %q: '}' without '{'; write }} for the brace itself", text)
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("template %q: '{' without '}'; write {{ for the brace itself", text)
			}
			f, err := parseField(text[i+1 : i+end])
			if err != nil {
				return nil, fmt.Errorf("template %q: %w", text, err)
			}
			flush()
			t.parts = append(t.parts, part{field: &f})
			i += end
		default:
			literal.WriteByte(c)
		}
	}
	flush()
	return t, t.check()
}

// check refuses what can be seen without an event.
func (t *template) check() error {
	if len(t.parts) == 0 {
		return fmt.Errorf("%s: an empty name would cover everything; to clear the whole domain say `all: true`", t.kind)
	}
	last := t.parts[len(t.parts)-1]
	if t.kind == prefixes && (last.field != nil || !strings.HasSuffix(last.literal, string(events.Separator))) {
		return fmt.Errorf("prefix %q: a prefix ends with %q, as in %q", t.text, events.Separator, t.text+string(events.Separator))
	}
	if len(t.parts) == 1 && last.field == nil {
		if err := t.kind.validate(last.literal); err != nil {
			return err
		}
	}
	return nil
}

func (t *template) hasField() bool {
	for _, p := range t.parts {
		if p.field != nil {
			return true
		}
	}
	return false
}

// render appends the template's names for e, at most most of them. Without a
// fault and without names, an optional field was absent.
func (t *template) render(dst []string, e *domainevent.Event, most int) ([]string, *EvalError) {
	fail := func(f *fault, at *field) ([]string, *EvalError) {
		return dst, &EvalError{Kind: f.kind, Field: at.text, Detail: f.detail}
	}
	names := []string{""}
	for _, p := range t.parts {
		if p.field == nil {
			for i := range names {
				names[i] += p.literal
			}
			continue
		}
		values, why := p.field.values(nil, e)
		if why != nil {
			if !p.field.optional || why.kind == ErrBadField {
				return fail(why, p.field)
			}
			if len(values) == 0 {
				return dst, nil
			}
		}
		if t.kind == globs {
			for i, v := range values {
				values[i] = events.EscapeGlob(v)
			}
		}
		if len(values)*len(names) > most {
			return fail(&fault{ErrTooMany, fmt.Sprintf("more than %d", most)}, p.field)
		}
		names = product(names, values)
	}
	for _, n := range names {
		if err := t.kind.validate(n); err != nil {
			return dst, &EvalError{Kind: ErrBadName, Detail: err.Error()}
		}
	}
	return append(dst, names...), nil
}

func product(names, values []string) []string {
	if len(values) == 1 {
		for i := range names {
			names[i] += values[0]
		}
		return names
	}
	out := make([]string, 0, len(names)*len(values))
	for _, n := range names {
		for _, v := range values {
			out = append(out, n+v)
		}
	}
	return out
}

// lead returns the part of the template's names that is certain: up to the
// first field that has not exactly one text in e. A nil event has no fields.
func (t *template) lead(e *domainevent.Event) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.field == nil {
			b.WriteString(p.literal)
			continue
		}
		if e == nil {
			break
		}
		values, why := p.field.values(nil, e)
		if why != nil || len(values) != 1 {
			break
		}
		if t.kind == globs {
			values[0] = events.EscapeGlob(values[0])
		}
		b.WriteString(values[0])
	}
	return b.String()
}

// reach adds to s a cover of everything that the template could render for e,
// and reports whether there is one short of everything. Tags have none: they
// lie within the entries, and no fence covers tags by their beginning.
func (t *template) reach(s *events.Scope, e *domainevent.Event) bool {
	lead := t.lead(e)
	switch t.kind {
	case keys, prefixes:
		if i := strings.LastIndexByte(lead, events.Separator); i >= 0 {
			if p := lead[:i+1]; events.ValidatePrefix(p) == nil {
				s.Prefixes = append(s.Prefixes, p)
				return true
			}
		}
		lead = events.EscapeGlob(lead)
	case tags:
		return false
	}
	g := lead + "*"
	if strings.Trim(lead, "*?") == "" || events.ValidateGlob(g) != nil {
		return false
	}
	s.Globs = append(s.Globs, g)
	return true
}
