package domainevent

import (
	"fmt"
	"net/url"
	"strings"
)

// HeaderText returns s as CloudEvents' bindings write an attribute into a
// header (HTTP binding, 3.1.3.2): a space, '"', '%' and whatever is not
// printable ASCII percent-encoded as UTF-8.
func HeaderText(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = bare(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; bare(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func bare(c byte) bool { return c > ' ' && c < 0x7F && c != '"' && c != '%' }

// ParseHeaderText reads what [HeaderText] wrote, once. Double quotes around
// the whole, which HTTP allows, are taken off first.
func ParseHeaderText(raw string) (string, error) {
	raw = strings.TrimSpace(raw)
	if n := len(raw); n >= 2 && raw[0] == '"' && raw[n-1] == '"' {
		raw = unquote(raw[1 : n-1])
	}
	s, err := url.PathUnescape(raw)
	if err != nil {
		return "", fmt.Errorf("not percent-encoded: %w", err)
	}
	return s, nil
}

// unquote takes the backslashes out of a quoted string's inside (RFC 9110,
// 5.6.4).
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
