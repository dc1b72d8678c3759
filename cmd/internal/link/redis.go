package link

import (
	"fmt"
	"net/url"

	"github.com/raptorflow/tercet/internal/config"
)

// RedisURL returns the URL of the shared tier with its password in it; "" if
// there is no shared tier.
func RedisURL(c config.Redis) (string, error) {
	if c.URL == "" || c.Password == "" {
		return c.URL, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		// The parser's error would show what else is in the URL.
		return "", &config.Error{Key: "redis.url", Reason: "want a URL, as in redis://host:6379/0", Err: config.ErrValue}
	}
	if u.Host == "" && u.Scheme != "unix" {
		return "", &config.Error{Key: "redis.url", Reason: fmt.Sprintf("no host behind %s://", u.Scheme), Err: config.ErrValue}
	}
	u.User = url.UserPassword(u.User.Username(), c.Password)
	return u.String(), nil
}
