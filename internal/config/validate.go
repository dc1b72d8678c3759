package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/raptorflow/tercet/internal/events"
)

func nodeID(s string) error {
	if s == "" || len(s) > events.MaxNodeID {
		return fmt.Errorf("want 1 to %d bytes", events.MaxNodeID)
	}
	return nil
}

func address(s string) error {
	if s == Off {
		return nil
	}
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return errors.New(`want host:port, as in 127.0.0.1:6380, or "off"`)
	}
	return nil
}

func originURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || !strings.Contains(s, "{key}") {
		return errors.New("want an http or https URL with {key} in it, as in http://127.0.0.1:9000/products/{key}")
	}
	return nil
}

// validate reports what is wrong with c as a whole when b runs with it.
func (c *Config) validate(b Binary) []error {
	var errs []error
	bad := func(key, reason, hint string, err error) {
		errs = append(errs, &Error{Where: c.where(key), Key: key, Reason: reason, Hint: hint, Err: err})
	}
	missing := func(key, why string) { errs = append(errs, c.missing(key, why)) }
	pair := func(one, other string, oneSet, otherSet bool) {
		if oneSet && !otherSet {
			missing(other, "needed together with "+one)
		}
		if otherSet && !oneSet {
			missing(one, "needed together with "+other)
		}
	}

	if b != ForCLI {
		if c.Domain == "" {
			missing("domain", "a process belongs to one")
		}
		if c.NATS.URL == "" {
			missing("nats.url", "the domain's log lives on NATS JetStream, and nothing is served without it")
		}
	}
	if b == ForInvalidator && len(c.Rules) == 0 {
		missing("rules", "without rules no event invalidates anything")
	}
	pair("nats.cert", "nats.key", c.NATS.TLS.Cert != "", c.NATS.TLS.Key != "")
	pair("redis.cert", "redis.key", c.Redis.TLS.Cert != "", c.Redis.TLS.Key != "")
	pair("nats.user", "nats.password", c.NATS.User != "", c.NATS.Password != "")
	pair("resp.cert", "resp.key", c.RESP.TLS.Cert != "", c.RESP.TLS.Key != "")
	pair("http.cert", "http.key", c.HTTP.TLS.Cert != "", c.HTTP.TLS.Key != "")
	if c.Create {
		if err := c.Settings().Validate(); err != nil {
			errs = append(errs, &Error{Key: "create", Reason: err.Error(), Err: ErrValue})
		}
	}
	if c.InsecureListen {
		return errs
	}
	for _, s := range []struct {
		key, secret, addr string
		open              bool
	}{
		{"resp.addr", "resp.password", c.RESP.Addr, c.RESP.Password == ""},
		{"http.addr", "http.token", c.HTTP.Addr, c.HTTP.Token == ""},
	} {
		if s.open && c.setting(s.key).used&b != 0 && !loopback(s.addr) {
			bad(s.key, fmt.Sprintf("%s is open to other machines without authentication", s.addr),
				fmt.Sprintf("set %s (%s), or say --insecure-listen if everybody who can connect may read and clear the cache",
					s.secret, c.setting(s.secret).variable()), ErrUnsafe)
		}
	}
	return errs
}

// loopback reports whether nobody but this machine can connect to addr. A
// host's name other than localhost could mean any address.
func loopback(addr string) bool {
	if addr == Off {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Need reports those of keys that are not set. It is for commands of the CLI,
// each of which needs different ones.
func (c *Config) Need(keys ...string) error {
	var errs []error
	for _, k := range keys {
		if c.setting(k).value.show() == "" {
			errs = append(errs, c.missing(k, "this command needs it"))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) missing(key, why string) error {
	s := c.setting(key)
	return &Error{Key: key, Reason: why, Err: ErrMissing,
		Hint: fmt.Sprintf("set --%s, %s or %s in the configuration file", s.flag(), s.variable(), key)}
}

func (c *Config) setting(key string) setting {
	for _, s := range settings(c) {
		if s.key == key {
			return s
		}
	}
	panic("config: no setting " + key) // a key in this package's own source
}
