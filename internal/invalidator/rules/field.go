package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// field is a path into an event, such as `data.items[].sku?`.
type field struct {
	text  string // as written
	root  string
	steps []step
	// optional: where the field is absent, the name is left out.
	optional bool
}

// step goes into a member by name, an item by index, or into each item.
type step struct {
	name  string // "" for index and each
	index int
	each  bool
}

// roots are the names that a path may begin with.
var roots = []string{
	"data", "before", "after", "row", "rows", "key", "attributes",
	"id", "source", "type", "subject", "channel",
	"table", "schema", "database", "operation", "connector", "position",
}

func parseField(text string) (field, error) {
	f := field{text: text}
	rest, optional := strings.CutSuffix(text, "?")
	f.optional = optional
	for i, segment := range strings.Split(rest, ".") {
		name, indexes, _ := strings.Cut(segment, "[")
		if name == "" || strings.ContainsAny(name, " ]?{}") {
			return f, fmt.Errorf("field {%s}: want names joined by dots, as in {data.id}, {data.ids[]} or {data.note?}", text)
		}
		if i == 0 {
			f.root = name
		} else {
			f.steps = append(f.steps, step{name: name})
		}
		for indexes != "" || strings.HasSuffix(segment, "[") {
			inner, after, ok := strings.Cut(indexes, "]")
			if !ok {
				return f, fmt.Errorf("field {%s}: '[' without ']'", text)
			}
			s := step{each: inner == ""}
			if inner != "" {
				n, err := strconv.Atoi(inner)
				if err != nil || n < 0 {
					return f, fmt.Errorf("field {%s}: %q is no index; [] names each item, [0] the first", text, inner)
				}
				s.index = n
			}
			f.steps = append(f.steps, s)
			if after == "" {
				break
			}
			if after[0] != '[' || len(after) == 1 {
				return f, fmt.Errorf("field {%s}: %q behind ']'", text, after)
			}
			indexes = after[1:]
		}
	}
	if !slices.Contains(roots, f.root) {
		hint := nearest(f.root, roots)
		if hint == "" {
			hint = "an event's payload is {data." + rest + "}"
		}
		return f, fmt.Errorf("field {%s}: an event has no %q: %s", text, f.root, hint)
	}
	return f, nil
}

// fansOut reports whether the field may yield more than one text.
func (f *field) fansOut() bool {
	return f.root == "rows" || slices.ContainsFunc(f.steps, func(s step) bool { return s.each })
}

// fault is why a field yields no text.
type fault struct {
	kind   error
	detail string
}

// values appends the texts that the field has in e, one unless it fans out.
func (f *field) values(dst []string, e *domainevent.Event) ([]string, *fault) {
	v, ok := root(e, f.root)
	if !ok {
		return dst, &fault{kind: ErrMissingField}
	}
	return walk(dst, v, f.steps)
}

// walk follows steps from v. A fan-out over no items is a missing field: a
// rule that may meet one says so with '?'.
func walk(dst []string, v any, steps []step) ([]string, *fault) {
	for i, s := range steps {
		switch {
		case s.each:
			items, ok := v.([]any)
			if !ok {
				return dst, absentOr(v, "want an array")
			}
			if len(items) == 0 {
				return dst, &fault{kind: ErrMissingField, detail: "the array has no items"}
			}
			var skipped *fault
			found := false
			for _, item := range items {
				var why *fault
				if dst, why = walk(dst, item, steps[i+1:]); why == nil {
					found = true
				} else if why.kind == ErrBadField {
					return dst, why
				} else {
					skipped = why
				}
			}
			if skipped != nil && found {
				skipped.detail = "in some of the items"
			}
			return dst, skipped
		case s.name != "":
			o, ok := v.(domainevent.Object)
			if !ok {
				return dst, absentOr(v, "want an object")
			}
			v = o[s.name]
		default:
			items, ok := v.([]any)
			if !ok {
				return dst, absentOr(v, "want an array")
			}
			if s.index >= len(items) {
				return dst, &fault{kind: ErrMissingField, detail: fmt.Sprintf("the array has %d items", len(items))}
			}
			v = items[s.index]
		}
	}
	return appendText(dst, v)
}

func absentOr(v any, want string) *fault {
	if v == nil {
		return &fault{kind: ErrMissingField}
	}
	return &fault{kind: ErrBadField, detail: want}
}

func appendText(dst []string, v any) ([]string, *fault) {
	var s string
	switch v := v.(type) {
	case nil:
		return dst, &fault{kind: ErrMissingField}
	case string:
		s = v
		if strings.ContainsRune(s, '\uFFFD') {
			// What decoding a lone surrogate leaves: another name than the
			// sender's.
			return dst, &fault{kind: ErrBadField, detail: "text that is not Unicode"}
		}
	case json.Number:
		s = v.String()
	case bool:
		s = strconv.FormatBool(v)
	default:
		return dst, &fault{kind: ErrBadField, detail: "want a string, number or bool; for each item of an array write []"}
	}
	if s == "" {
		return dst, &fault{kind: ErrEmptyField}
	}
	return append(dst, s), nil
}

// root returns the value that paths beginning with name start from.
func root(e *domainevent.Event, name string) (any, bool) {
	switch name {
	case "data":
		return e.Data, e.Data != nil
	case "attributes":
		o := make(domainevent.Object, len(e.Attributes))
		for k, v := range e.Attributes {
			o[k] = v
		}
		return o, true
	case "id":
		return e.ID, true
	case "source":
		return e.Source, true
	case "type":
		return e.Type, true
	case "subject":
		return nonEmpty(e.Subject)
	case "channel":
		return nonEmpty(e.Channel)
	}
	c := e.Change
	if c == nil {
		return nil, false
	}
	switch name {
	case "before":
		return object(c.Before)
	case "after":
		return object(c.After)
	case "row":
		return object(c.Row())
	case "rows":
		rows := c.Rows()
		return rows, len(rows) > 0
	case "key":
		return object(c.Key)
	case "table":
		return nonEmpty(c.Table)
	case "schema":
		return nonEmpty(c.Schema)
	case "database":
		return nonEmpty(c.Database)
	case "operation":
		return string(c.Operation), true
	case "connector":
		return nonEmpty(c.Connector)
	case "position":
		return nonEmpty(c.Position)
	}
	return nil, false
}

func nonEmpty(s string) (any, bool) { return s, s != "" }

func object(o domainevent.Object) (any, bool) { return o, o != nil }
