package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPolicies(t *testing.T) {
	c, err := given{args: enough, file: `
default_ttl: 2h
policies:
  - match: "price:"
    ttl: 30s
    jitter: 0.1
    fallback: fail
    max_stale: 10m
    soft_timeout: 100ms
  - {match: "*", eager_after: 0.8, redis_ttl: 1h}
`}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Policies) != 2 {
		t.Fatalf("%+v", c.Policies)
	}
	price, all := c.Policies[0], c.Policies[1]
	if price.Match != "price:" || price.TTL != 30*time.Second || price.Jitter != 0.1 || price.Fallback != "fail" ||
		price.MaxStale != 10*time.Minute || price.SoftTimeout != 100*time.Millisecond || price.EagerAfter != 0 {
		t.Errorf("%+v", price)
	}
	if all.Match != "*" || all.EagerAfter != 0.8 || all.SharedTTL != time.Hour {
		t.Errorf("%+v", all)
	}
	var out bytes.Buffer
	if err := c.Print(&out, ForNode); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"policies[0]", "match=price: ttl=30s jitter=0.1", "tercet.yaml:4", "policies[1]", "tercet.yaml:10"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

// What is wrong with a policy is said with its line.
func TestPoliciesRefused(t *testing.T) {
	for file, want := range map[string]struct {
		err          error
		place, where string
	}{
		"policies: 1":                                   {ErrValue, "tercet.yaml:1: ", "policies"},
		"policies:\n  - a":                              {ErrValue, "tercet.yaml:2: ", "policies[0]"},
		"policies:\n  - ttl: 1s":                        {ErrMissing, "tercet.yaml:2: ", "policies[0]"},
		"policies:\n  - match: a*\n    tll: 1s":         {ErrUnknown, "tercet.yaml:3: ", "policies[0].tll"},
		"policies:\n  - match: a*\n    ttl: soon":       {ErrValue, "tercet.yaml:3: ", "policies[0].ttl"},
		"policies:\n  - match: a*\n    ttl: 0s":         {ErrValue, "tercet.yaml:3: ", "policies[0].ttl"},
		"policies:\n  - match: a*\n    jitter: 1":       {ErrValue, "tercet.yaml:3: ", "policies[0].jitter"},
		"policies:\n  - match: a*\n    fallback: maybe": {ErrValue, "tercet.yaml:3: ", "policies[0].fallback"},
		"policies:\n  - match: a*\n    match: b*":       {ErrValue, "tercet.yaml:3: ", "policies[0].match"},
		"policies:\n  - match: \"\"\n    ttl: 1s":       {ErrValue, "tercet.yaml:2: ", "policies[0].match"},
		"policies:\n  - match: a*\n    ttl: {a: 1}":     {ErrValue, "tercet.yaml:3: ", "policies[0].ttl"},
	} {
		_, err := given{args: with(), file: file}.load(t)
		if !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.place) || !strings.Contains(err.Error(), want.where) {
			t.Errorf("%q: %v, want %v at %s %s", file, err, want.err, want.place, want.where)
		}
	}
}
