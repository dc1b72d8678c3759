package redis

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/events"
)

func TestNewClient(t *testing.T) {
	for url, want := range map[string]string{
		"redis://localhost:6379/3":    "single",
		"rediss://u:p@localhost:6379": "single",
		"unix:///run/redis.sock?db=1": "single",
		"redis+sentinel://localhost:26379/0?master_name=m&addr=localhost:26380": "single", // a failover client is one
		"redis+cluster://localhost:7000?addr=localhost:7001":                    "cluster",
		"rediss+cluster://localhost:7000":                                       "cluster",
	} {
		c, err := NewClient(ClientConfig{URL: url})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := "single"
		if o, ok := c.(*goredis.ClusterClient); ok {
			got = "cluster"
			if opt := o.Options(); !opt.ContextTimeoutEnabled || !opt.DisableIdentity || opt.ReadTimeout != defaultSocketTimeout {
				t.Errorf("%s: options %+v", url, opt)
			}
		} else if opt := c.(*goredis.Client).Options(); opt.MaxRetries != 0 || !opt.ContextTimeoutEnabled ||
			!opt.DisableIdentity || opt.ReadTimeout != defaultSocketTimeout || opt.DialTimeout != defaultDialTimeout {
			t.Errorf("%s: options %+v", url, opt)
		}
		if got != want {
			t.Errorf("%s: %s client, want %s", url, got, want)
		}
		_ = c.Close()
	}
}

func TestURLWinsOverDefaults(t *testing.T) {
	c, err := NewClient(ClientConfig{URL: "redis://localhost/?read_timeout=7s&pool_size=3"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if o := c.(*goredis.Client).Options(); o.ReadTimeout.Seconds() != 7 || o.PoolSize != 3 {
		t.Fatalf("options %+v", o)
	}
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://user:hunter2@host", "redis://user:hunter2@host:port:port/x", "redis://user:hunter2@host/notanumber",
		"redis://user:hunter2@host\x7f/", "redis+sentinel://user:hunter2@host:1/0", "unix+cluster://user:hunter2@/x", "redis://h/?no_such_option=hunter2",
		"redis+cluster://user:hunter2@host:%zz",
	} {
		c, err := NewClient(ClientConfig{URL: url})
		if !errors.Is(err, events.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2@") {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}
