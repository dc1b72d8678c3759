package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/knadh/koanf/v2"
)

// alias is a variable of another name that is understood too. TERCET_*
// variables are stronger.
type alias struct {
	variable, key string
	// rewrite turns the variable's text into the setting's.
	rewrite func(string) (string, error)
}

// The names are those of services that were configured before Tercet came.
var aliases = []alias{
	{"CACHE_L1_MAX_MEMORY_MB", "l1.size", func(s string) (string, error) {
		if _, err := strconv.ParseUint(s, 10, 32); err != nil {
			return "", fmt.Errorf("want a whole number of MiB")
		}
		return s + "MiB", nil
	}},
	{"CACHE_L2_DEFAULT_TTL", "default_ttl", func(s string) (string, error) {
		if _, err := strconv.ParseUint(s, 10, 32); err == nil {
			return s + "s", nil
		}
		return s, nil
	}},
	{"CACHE_BACKUP_DIRECTORY", "snapshot_dir", func(s string) (string, error) { return s, nil }},
	{"UPSTASH_REDIS_URL", "redis.url", upstash},
	{"UPSTASH_REDIS_TOKEN", "redis.password", func(s string) (string, error) { return s, nil }},
}

// upstash accepts the address of the provider's REST interface too, whose host
// speaks the Redis protocol over TLS on the usual port.
func upstash(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("want a URL, as in rediss://host:6379") // the parser's error would show a password
	}
	if u.Scheme == "https" {
		return "rediss://default@" + u.Hostname() + ":6379", nil
	}
	return s, nil
}

func (l *Loader) aliases() (layer, []error) {
	var errs []error
	values := make(map[string]string)
	for _, e := range l.Environ() {
		if name, value, ok := strings.Cut(e, "="); ok {
			values[name] = value
		}
	}
	k := koanf.New(".")
	names := make(map[string]string)
	for _, a := range aliases {
		raw := values[a.variable]
		if raw == "" {
			continue
		}
		value, err := a.rewrite(raw)
		if err != nil {
			errs = append(errs, &Error{Where: a.variable, Key: a.key, Reason: err.Error(), Err: ErrValue})
			continue
		}
		if err := k.Set(a.key, value); err != nil {
			errs = append(errs, err)
		}
		names[a.key] = a.variable
	}
	return layer{k, func(key string) string { return names[key] }}, errs
}
