package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/raptorflow/tercet/internal/events"
)

// ClientConfig says how to reach Redis.
type ClientConfig struct {
	// URL names the server or servers:
	//
	//	redis://user:password@host:port/db     one server
	//	rediss://…                             the same over TLS
	//	unix://user:password@/path?db=0        a socket
	//	redis+sentinel://user:password@sentinel:port/db?master_name=m&addr=sentinel2:port
	//	redis+cluster://user:password@host:port?addr=host2:port
	//	rediss+sentinel://…, rediss+cluster://… over TLS
	//
	// Query parameters are go-redis's; what they set wins over the fields
	// below.
	URL string
	// DialTimeout bounds one attempt to connect. Default 500 ms: a node that
	// can't reach Redis should learn it within a request's patience.
	DialTimeout time.Duration
	// SocketTimeout bounds one read or write on a connection, for operations
	// whose context allows more. Default 1 s.
	SocketTimeout time.Duration
	// PoolTimeout bounds how long an operation waits for a connection while
	// all are busy. Default 100 ms, as [Config].Timeout.
	PoolTimeout time.Duration
	// PoolSize is the most connections per server. Default 16: gathered
	// commands share a few.
	PoolSize int
	// TLS, if set, is used with the TLS schemes: authorities, and the client's own
	// certificate. A server's name is the URL's host, unless TLS says another.
	TLS *tls.Config
}

const (
	defaultDialTimeout   = 500 * time.Millisecond
	defaultSocketTimeout = time.Second
	defaultPoolSize      = 16
	noRetries            = -1
)

// NewClient returns a client for [Config].Client. It does not connect yet.
//
// It never repeats a command by itself: who repeats should know whether the
// command may run twice. It obeys contexts, and sends nothing that the caller
// did not ask for (CLIENT SETINFO, maintenance handshakes). An error never
// shows the URL, which may hold a password.
func NewClient(cfg ClientConfig) (goredis.UniversalClient, error) {
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = defaultDialTimeout
	}
	if cfg.SocketTimeout <= 0 {
		cfg.SocketTimeout = defaultSocketTimeout
	}
	if cfg.PoolTimeout <= 0 {
		cfg.PoolTimeout = defaultTimeout
	}
	if cfg.PoolSize <= 0 {
		cfg.PoolSize = defaultPoolSize
	}
	scheme, rest, ok := strings.Cut(cfg.URL, "://")
	if !ok {
		return nil, fmt.Errorf("%w redis URL: want a scheme such as redis://", events.ErrInvalid)
	}
	base, kind, _ := strings.Cut(scheme, "+")
	if cfg.TLS != nil && base != "rediss" {
		return nil, fmt.Errorf("%w redis URL: certificates are given, but scheme %q has no TLS", events.ErrInvalid, scheme)
	}
	plain := base + "://" + rest
	switch {
	case kind == "sentinel" && (base == "redis" || base == "rediss"):
		return newSentinel(plain, cfg)
	case kind == "cluster" && (base == "redis" || base == "rediss"):
		return newCluster(plain, cfg)
	case kind == "" && (base == "redis" || base == "rediss" || base == "unix"):
		return newSingle(plain, cfg)
	}
	return nil, fmt.Errorf("%w redis URL: scheme %q is none of redis, rediss, unix, redis+sentinel, redis+cluster, rediss+sentinel, rediss+cluster", events.ErrInvalid, scheme)
}

func newSingle(plain string, cfg ClientConfig) (goredis.UniversalClient, error) {
	o, err := goredis.ParseURL(plain)
	if err != nil {
		return nil, badURL(err)
	}
	preset(&o.DialTimeout, cfg.DialTimeout)
	preset(&o.ReadTimeout, cfg.SocketTimeout)
	preset(&o.WriteTimeout, cfg.SocketTimeout)
	preset(&o.PoolTimeout, cfg.PoolTimeout)
	preset(&o.PoolSize, cfg.PoolSize)
	o.TLSConfig = secure(o.TLSConfig, cfg.TLS)
	preset(&o.MaxRetries, noRetries)
	preset(&o.DialerRetries, 1)
	preset(&o.Protocol, 2)
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = quiet()
	return goredis.NewClient(o), nil
}

func newSentinel(plain string, cfg ClientConfig) (goredis.UniversalClient, error) {
	o, err := goredis.ParseFailoverURL(plain)
	if err != nil {
		return nil, badURL(err)
	}
	if o.MasterName == "" {
		return nil, fmt.Errorf("%w redis URL: sentinels need master_name", events.ErrInvalid)
	}
	preset(&o.DialTimeout, cfg.DialTimeout)
	preset(&o.ReadTimeout, cfg.SocketTimeout)
	preset(&o.WriteTimeout, cfg.SocketTimeout)
	preset(&o.PoolTimeout, cfg.PoolTimeout)
	preset(&o.PoolSize, cfg.PoolSize)
	o.TLSConfig = secure(o.TLSConfig, cfg.TLS)
	preset(&o.MaxRetries, noRetries)
	preset(&o.DialerRetries, 1)
	preset(&o.Protocol, 2)
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	return goredis.NewFailoverClient(o), nil
}

func newCluster(plain string, cfg ClientConfig) (goredis.UniversalClient, error) {
	o, err := goredis.ParseClusterURL(plain)
	if err != nil {
		return nil, badURL(err)
	}
	preset(&o.DialTimeout, cfg.DialTimeout)
	preset(&o.ReadTimeout, cfg.SocketTimeout)
	preset(&o.WriteTimeout, cfg.SocketTimeout)
	preset(&o.PoolTimeout, cfg.PoolTimeout)
	preset(&o.PoolSize, cfg.PoolSize)
	o.TLSConfig = secure(o.TLSConfig, cfg.TLS)
	preset(&o.MaxRetries, noRetries)
	preset(&o.DialerRetries, 1)
	preset(&o.Protocol, 2)
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = quiet()
	return goredis.NewClusterClient(o), nil
}

// secure returns what certificates says, with what the URL made of its host.
func secure(fromURL, certificates *tls.Config) *tls.Config {
	if certificates == nil || fromURL == nil {
		return fromURL
	}
	c := certificates.Clone()
	if c.ServerName == "" {
		c.ServerName = fromURL.ServerName
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// preset fills in what the URL left open.
func preset[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// badURL drops the URL from err: it may hold a password.
func badURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%w redis URL: %w", events.ErrInvalid, err)
}
