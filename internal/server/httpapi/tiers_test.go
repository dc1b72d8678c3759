package httpapi

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

func TestTiers(t *testing.T) {
	s := start(t, Config{})
	s.expect(204, "PUT", "/v1/shop/tiers/redis", `{"on":false}`)
	if _, body := s.expect(200, "GET", "/v1/shop/tiers", ""); !strings.Contains(body, `{"tier":"redis","present":true,"on":false}`) ||
		!strings.Contains(body, `{"tier":"owner","present":false,"on":true}`) {
		t.Errorf("%s", body)
	}
	s.expect(204, "PUT", "/v1/shop/tiers/redis", `{"on":true}`)
	if _, body := s.expect(200, "GET", "/v1/shop/tiers", ""); strings.Contains(body, `"on":false`) {
		t.Errorf("%s", body)
	}
	s.expect(400, "PUT", "/v1/shop/tiers/redis", `{}`)
	s.expect(400, "PUT", "/v1/shop/tiers/tape", `{"on":false}`)
	s.expect(400, "PUT", "/v1/shop/tiers/origin", `{"on":false}`)
}

// Who is turned away is told when to come again: a second, or what the node says.
func TestOverload(t *testing.T) {
	s := start(t, Config{MaxRequests: 2})
	full := &node.Overload{Running: 2, Waiting: 9, RetryAfter: 7 * time.Second}
	s.cache.Fail(full)
	res, body := s.expect(503, "GET", "/v1/shop/keys/k", "")
	if res.Header.Get("Retry-After") != "7" || !strings.Contains(body, "2 loads are running and 9 wait") {
		t.Errorf("Retry-After %q: %s", res.Header.Get("Retry-After"), body)
	}
	s.cache.Fail(nil)

	release, entered := make(chan struct{}), make(chan struct{}, 2)
	s.cache.BeforeGet = func(context.Context, string) { entered <- struct{}{}; <-release }
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() { s.do("GET", "/v1/shop/keys/k", "") })
	}
	<-entered
	<-entered
	res, body = s.expect(503, "PUT", "/v1/shop/keys/k", "v")
	if res.Header.Get("Retry-After") != "1" || !strings.Contains(body, "overloaded") {
		t.Errorf("Retry-After %q: %s", res.Header.Get("Retry-After"), body)
	}
	s.expect(200, "GET", "/healthz", "")
	close(release)
	readers.Wait()
	s.expect(204, "PUT", "/v1/shop/keys/k", "v")
}
