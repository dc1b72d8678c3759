package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// origin is where a setting's value came from.
type origin struct{ key, place string }

func (c *Config) setPlace(key, place string) {
	for i := range c.origins {
		if c.origins[i].key == key {
			c.origins[i].place = place
		}
	}
}

// where returns the place of key's value; "" if it is the default.
func (c *Config) where(key string) string {
	for _, o := range c.origins {
		if o.key == key && o.place != "default" {
			return o.place
		}
	}
	return ""
}

// Print writes each setting that b uses, its value and where that came from.
// Secrets, and passwords within URLs, are masked.
func (c *Config) Print(w io.Writer, b Binary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := settings(c)
	for i, o := range c.origins {
		if rows[i].used&b == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", o.key, rows[i].masked(), o.place)
	}
	if b&members != 0 {
		for i, p := range c.Policies {
			fmt.Fprintf(t, "%s[%d]\t%s\t%s\n", policiesKey, i, p.show(), p.place)
		}
	}
	return t.Flush()
}

const mask = "********"

// masked returns the value as people may see it.
func (s setting) masked() string {
	shown := s.value.show()
	switch {
	case shown == "":
		return "-"
	case s.secret:
		return mask
	case strings.HasSuffix(s.key, "url") || s.key == "warmer.origin":
		return maskURLs(shown)
	}
	return shown
}

// maskURLs masks what stands between "//" and "@" in a comma-separated list of
// URLs: a password, or a token where NATS has a user.
func maskURLs(list string) string {
	parts := strings.Split(list, ",")
	for i, p := range parts {
		scheme, rest, ok := strings.Cut(p, "//")
		at := strings.LastIndexByte(rest, '@')
		if !ok || at < 0 {
			continue
		}
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		if hasPassword {
			parts[i] = scheme + "//" + user + ":" + mask + rest[at:]
		} else {
			parts[i] = scheme + "//" + mask + rest[at:]
		}
	}
	return strings.Join(parts, ",")
}
