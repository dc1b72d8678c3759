package link_test

import (
	"errors"
	"testing"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/test/process"
)

func TestRedisURL(t *testing.T) {
	for _, tc := range []struct {
		c    config.Redis
		want string
	}{
		{config.Redis{}, ""},
		{config.Redis{Password: "p"}, ""},
		{config.Redis{URL: "redis://h:1/2"}, "redis://h:1/2"},
		{config.Redis{URL: "redis://u:old@h:1/2", Password: "a/b"}, "redis://u:a%2Fb@h:1/2"},
	} {
		if got, err := link.RedisURL(tc.c); err != nil || got != tc.want {
			t.Errorf("%+v: %q, %v", tc.c, got, err)
		}
	}
	if _, err := link.RedisURL(config.Redis{URL: "redis://h:port:x", Password: "p"}); !errors.Is(err, config.ErrValue) {
		t.Error(err)
	}
}

func TestRedisTLS(t *testing.T) {
	files := process.NewCertificates(t)
	c, err := link.RedisTLS(config.Redis{TLS: config.ClientTLS{CA: files.CA, Cert: files.Cert, Key: files.Key}})
	if err != nil || c.RootCAs == nil || len(c.Certificates) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err := link.RedisTLS(config.Redis{}); c != nil || err != nil {
		t.Errorf("without files: %v, %v", c, err)
	}
	for _, bad := range []config.ClientTLS{
		{CA: files.CA + "x"}, {CA: files.Key}, {Cert: files.Cert, Key: files.CA},
	} {
		if _, err := link.RedisTLS(config.Redis{TLS: bad}); !errors.Is(err, config.ErrValue) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
