package link_test

import (
	"errors"
	"testing"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
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
