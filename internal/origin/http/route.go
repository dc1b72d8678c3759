package http

import (
	"fmt"
	"net/url"
	"strings"
)

// Route says where the values of keys with a prefix are fetched.
type Route struct {
	// Prefix is what keys begin with; empty: any key. Of the routes that
	// match, the one with the longest prefix is taken.
	Prefix string
	// URL is a template: {key} stands for the whole key and {rest} for what
	// follows the prefix, escaped as one path segment or, behind a '?', as one
	// parameter's value. {path} stands for the rest with its slashes kept. None
	// may stand in the scheme or host.
	URL string
}

// template is a parsed [Route.URL].
type template struct {
	prefix string
	parts  []part
}

type part struct {
	text  string // literal, if field is empty
	field string // "key", "rest" or "path"
	query bool   // behind the '?'
}

func parse(r Route) (template, error) {
	t := template{prefix: r.Prefix}
	bad := func(format string, args ...any) (template, error) {
		return template{}, fmt.Errorf("%w: route %q to %q: %s", ErrConfig, r.Prefix, r.URL, fmt.Sprintf(format, args...))
	}
	rest, query := r.URL, false
	for rest != "" {
		i := strings.IndexByte(rest, '{')
		if i < 0 {
			t.parts = append(t.parts, part{text: rest})
			break
		}
		if i > 0 {
			t.parts = append(t.parts, part{text: rest[:i]})
			query = query || strings.Contains(rest[:i], "?")
		}
		field, after, ok := strings.Cut(rest[i+1:], "}")
		if !ok {
			return bad("a brace is not closed")
		}
		if field != "key" && field != "rest" && field != "path" {
			return bad("{%s} is not known; there are {key}, {rest} and {path}", field)
		}
		t.parts = append(t.parts, part{field: field, query: query})
		rest = after
	}
	// Two samples of different keys: the host must not depend on them.
	a, err := t.expand(r.Prefix + "a")
	if err != nil {
		return bad("%v", err)
	}
	b, err := t.expand(r.Prefix + "b")
	if err != nil {
		return bad("%v", err)
	}
	switch {
	case a.Scheme != "http" && a.Scheme != "https":
		return bad("want http:// or https://")
	case a.Hostname() == "":
		return bad("no host")
	case a.Host != b.Host || a.Scheme != b.Scheme || a.User.String() != b.User.String():
		return bad("the key must not choose the server")
	case a.Fragment != "":
		return bad("a fragment is never sent")
	case *a == *b:
		return bad("every key would have the same URL; put {key} or {rest} into it")
	}
	return t, nil
}

// expand returns the URL of key, which must begin with the prefix.
func (t template) expand(key string) (*url.URL, error) {
	rest := strings.TrimPrefix(key, t.prefix)
	var b strings.Builder
	for _, p := range t.parts {
		value := rest
		if p.field == "key" {
			value = key
		}
		switch {
		case p.field == "":
			b.WriteString(p.text)
		case p.query:
			b.WriteString(url.QueryEscape(value))
		case p.field == "path":
			for i, segment := range strings.Split(value, "/") {
				if i > 0 {
					b.WriteByte('/')
				}
				if err := writeSegment(&b, segment); err != nil {
					return nil, err
				}
			}
		default:
			if err := writeSegment(&b, value); err != nil {
				return nil, err
			}
		}
	}
	return url.Parse(b.String())
}

// writeSegment escapes a segment. Dots alone mean another directory to a
// server even when escaped, so they have no URL.
func writeSegment(b *strings.Builder, segment string) error {
	if segment == "." || segment == ".." {
		return fmt.Errorf("%w: a path segment %q would leave its directory", ErrNoRoute, segment)
	}
	b.WriteString(url.PathEscape(segment))
	return nil
}
