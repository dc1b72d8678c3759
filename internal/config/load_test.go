package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// given is what a test process was started with.
type given struct {
	binary Binary
	file   string
	env    []string
	args   []string
}

func (g given) load(t *testing.T) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	if g.binary == 0 {
		g.binary = ForNode
	}
	l := NewLoader(g.binary, flags)
	if g.file != "" {
		path := filepath.Join(t.TempDir(), "tercet.yaml")
		if err := os.WriteFile(path, []byte(g.file), 0o600); err != nil {
			t.Fatal(err)
		}
		g.env = append(g.env, "TERCET_CONFIG="+path)
	}
	l.Environ = func() []string { return g.env }
	l.Hostname = func() (string, error) { return "box", nil }
	if err := flags.Parse(g.args); err != nil {
		t.Fatal(err)
	}
	return l.Load()
}

// enough makes a node's configuration complete.
var enough = []string{"--domain=shop", "--nats-url=nats://127.0.0.1:4222"}

func with(args ...string) []string { return append(append([]string(nil), enough...), args...) }

func TestTheStrongestSourceWins(t *testing.T) {
	const file = "lease: 10s\nl1:\n  size: 64MiB\nresp: {addr: \"127.0.0.1:7000\"}\nl3.size: 1GiB\n"
	c, err := given{
		file: file,
		env:  []string{"TERCET_L1_SIZE=128MiB", "TERCET_LEASE=20s", "CACHE_L1_MAX_MEMORY_MB=1", "CACHE_L2_DEFAULT_TTL=90", "OTHER=1"},
		args: with("--lease", "30s"),
	}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		key       string
		got, want any
		place     string
	}{
		{"lease", c.Lease, 30 * time.Second, "--lease"},
		{"l1.size", c.L1Size, int64(128 << 20), "TERCET_L1_SIZE"},
		{"l3.size", c.L3Size, int64(1 << 30), "tercet.yaml:5"},
		{"resp.addr", c.RESP.Addr, "127.0.0.1:7000", "tercet.yaml:4"},
		{"default_ttl", c.DefaultTTL, 90 * time.Second, "CACHE_L2_DEFAULT_TTL"},
		{"node_id", c.NodeID, "box", "default (the host's name)"},
		{"http.addr", c.HTTP.Addr, "127.0.0.1:8080", ""},
	} {
		if tc.got != tc.want {
			t.Errorf("%s = %v, want %v", tc.key, tc.got, tc.want)
		}
		if place := c.where(tc.key); !strings.HasSuffix(place, tc.place) || (tc.place == "") != (place == "") {
			t.Errorf("%s came from %q, want %q", tc.key, place, tc.place)
		}
	}
}

func TestFixedVariables(t *testing.T) {
	c, err := given{binary: ForNode, env: []string{
		"TERCET_DOMAIN=shop", "TERCET_NATS_URL=nats://n:4222", "TERCET_REDIS_URL=redis://r:6379",
		"TERCET_DATA_DIR=/d", "TERCET_L1_SIZE=1MiB", "TERCET_L3_SIZE=20MiB", "TERCET_RESP_ADDR=127.0.0.1:1",
		"TERCET_HTTP_ADDR=off", "TERCET_NODE_ID=a", "TERCET_LEASE=3s", "TERCET_RULES=x.yaml, y.yaml",
		"TERCET_DEFAULT_TTL=2d", "TERCET_RESP_PASSWORD=p", "TERCET_HTTP_TOKEN=t", "TERCET_CREATE=1", "TERCET_REPLICAS=",
		"CACHE_BACKUP_DIRECTORY=/b",
	}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	c.origins = nil
	want := defaults(ForNode)
	want.Domain, want.NATS.URL, want.Redis.URL, want.DataDir = "shop", "nats://n:4222", "redis://r:6379", "/d"
	want.L1Size, want.L3Size, want.RESP.Addr, want.HTTP.Addr = 1<<20, 20<<20, "127.0.0.1:1", Off
	want.NodeID, want.Lease, want.Rules, want.DefaultTTL = "a", 3*time.Second, []string{"x.yaml", "y.yaml"}, 48*time.Hour
	want.RESP.Password, want.HTTP.Token, want.Create, want.SnapshotDir = "p", "t", true, "/b"
	var got, exp bytes.Buffer
	for i, s := range settings(c) {
		got.WriteString(s.key + "=" + s.value.show() + "\n")
		exp.WriteString(s.key + "=" + settings(want)[i].value.show() + "\n")
	}
	if got.String() != exp.String() {
		t.Errorf("got\n%s\nwant\n%s", got.String(), exp.String())
	}
}

func TestUpstash(t *testing.T) {
	for url, want := range map[string]string{
		"https://eu1-x.upstash.io":               "rediss://default@eu1-x.upstash.io:6379",
		"rediss://default@eu1-x.upstash.io:6379": "rediss://default@eu1-x.upstash.io:6379",
		"redis://:old@h:1/2":                     "redis://:old@h:1/2",
	} {
		c, err := given{env: []string{"UPSTASH_REDIS_URL=" + url, "UPSTASH_REDIS_TOKEN=tok"}, args: enough}.load(t)
		if err != nil || c.Redis != (Redis{URL: want, Password: "tok"}) {
			t.Errorf("%s: %+v, %v; want %s", url, c.Redis, err, want)
		}
	}
	c, err := given{env: []string{"UPSTASH_REDIS_URL=https://a", "TERCET_REDIS_URL=redis://b"}, args: enough}.load(t)
	if err != nil || c.Redis.URL != "redis://b" {
		t.Errorf("TERCET_REDIS_URL is stronger: %q, %v", c.Redis.URL, err)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		given
		want   error
		where  string // suffix of the place
		speaks string // part of the text
	}{
		{"unknown key", given{file: "domain: a\nl1:\n  sise: 1MiB\n", args: enough}, ErrUnknown, "tercet.yaml:3", "did you mean l1.size?"},
		{"key in the wrong section", given{file: "l2:\n  password: x\n", args: enough}, ErrUnknown, "tercet.yaml:1", ""},
		{"key without its section", given{file: "url: x\n", args: enough}, ErrUnknown, "tercet.yaml:1", "did you mean nats.url?"},
		{"key twice", given{file: "lease: 1s\nlease: 2s\n", args: enough}, ErrValue, "tercet.yaml:2", "line 1"},
		{"section as value", given{file: "nats: nats://h\n", args: enough}, ErrValue, "tercet.yaml:1", "section"},
		{"null", given{file: "lease:\n", args: enough}, ErrValue, "tercet.yaml:1", ""},
		{"list for one value", given{file: "lease: [1s, 2s]\n", args: enough}, ErrValue, "tercet.yaml:1", "list of 2"},
		{"not YAML", given{file: "a: b: c\n", args: enough}, ErrFile, "tercet.yaml", ""},
		{"a list", given{file: "- a\n", args: enough}, ErrFile, "tercet.yaml:1", ""},
		{"no such file", given{args: with("--config=/nonexistent/x.yaml")}, ErrFile, "--config", "no such file"},
		{"unknown variable", given{env: []string{"TERCET_L1_SISE=1"}, args: enough}, ErrUnknown, "environment", "did you mean TERCET_L1_SIZE?"},
		{"size without unit", given{env: []string{"TERCET_L1_SIZE=512M"}, args: enough}, ErrValue, "TERCET_L1_SIZE", "512MiB"},
		{"size too small", given{args: with("--l1-size=1KiB")}, ErrValue, "--l1-size", "at least 512KiB"},
		{"size too large", given{args: with("--l3-size=99999999TiB")}, ErrValue, "--l3-size", ""},
		{"duration without unit", given{args: with("--default-ttl=60")}, ErrValue, "--default-ttl", "60s"},
		{"zero duration", given{args: with("--lease=0s")}, ErrValue, "--lease", ""},
		{"negative duration", given{args: with("--resp-idle-timeout=-1s")}, ErrValue, "--resp-idle-timeout", ""},
		{"bool", given{args: with("--create=maybe")}, ErrValue, "--create", ""},
		{"policy", given{args: with("--policy=hope")}, ErrValue, "--policy", "fence, serve"},
		{"domain", given{args: []string{"--domain=Shop Floor"}}, ErrValue, "--domain", "a-z"},
		{"address", given{args: with("--resp-addr=6380")}, ErrValue, "--resp-addr", "host:port"},
		{"origin", given{binary: ForWarmer, args: with("--warmer-origin=http://h/x")}, ErrValue, "--warmer-origin", "{key}"},
		{"alias", given{env: []string{"CACHE_L1_MAX_MEMORY_MB=1GB"}, args: enough}, ErrValue, "CACHE_L1_MAX_MEMORY_MB", "MiB"},
		{"no NATS", given{args: []string{"--domain=shop"}}, ErrMissing, "", "set --nats-url, TERCET_NATS_URL or nats.url"},
		{"no domain", given{args: []string{"--nats-url=x"}}, ErrMissing, "", "TERCET_DOMAIN"},
		{"no rules", given{binary: ForInvalidator, args: enough}, ErrMissing, "", "TERCET_RULES"},
		{"key without certificate", given{args: with("--resp-key=k")}, ErrMissing, "", "resp.cert"},
		{"domain settings", given{args: with("--create", "--replicas=2")}, ErrValue, "", "1, 3 or 5"},
		{"open RESP", given{args: with("--resp-addr=0.0.0.0:6380")}, ErrUnsafe, "--resp-addr", "TERCET_RESP_PASSWORD"},
		{"open HTTP", given{file: "http: {addr: \":8080\"}", args: enough}, ErrUnsafe, "tercet.yaml:1", "--insecure-listen"},
		{"a name", given{args: with("--http-addr=myhost:80")}, ErrUnsafe, "--http-addr", ""},
		{"IPv6", given{args: with("--http-addr=[::]:80")}, ErrUnsafe, "--http-addr", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.load(t)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			var e *Error
			if !errors.As(err, &e) || !strings.HasSuffix(e.Where, tc.where) {
				t.Errorf("place %q, want …%q", e.Where, tc.where)
			}
			if !strings.Contains(err.Error(), tc.speaks) {
				t.Errorf("%q does not say %q", err, tc.speaks)
			}
		})
	}
}

func TestListenAddresses(t *testing.T) {
	for _, args := range [][]string{
		{"--resp-addr=0.0.0.0:6380", "--resp-password=x"},
		{"--http-addr=:80", "--http-token=x"},
		{"--http-addr=:80", "--resp-addr=:81", "--insecure-listen"},
		{"--resp-addr=localhost:1", "--http-addr=[::1]:1"},
		{"--resp-addr=127.8.8.8:1", "--http-addr=off"},
	} {
		if _, err := (given{args: with(args...)}).load(t); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := given{file: "lesae: 1s\n", env: []string{"TERCET_X=1"}, args: with("--l1-size=x")}.load(t)
	for _, want := range []string{"lesae", "TERCET_X", "--l1-size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	_, err := given{file: "nats: {password: [sekret, x]}\n", args: enough}.load(t)
	if err == nil || strings.Contains(err.Error(), "sekret") {
		t.Errorf("got %v", err)
	}
}

func TestPrintShowsPlacesAndNoSecret(t *testing.T) {
	c, err := given{
		file: "nats:\n  url: nats://u:sekret@a:4222,nats://token-sekret@b\n  user: u\n  password: sekret\n",
		env:  []string{"TERCET_RESP_PASSWORD=sekret", "TERCET_REDIS_URL=redis://:sekret@h:6379"},
		args: []string{"--domain=shop", "--http-token=sekret"},
	}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out, ForNode); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if strings.Contains(got, "sekret") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	for _, want := range []string{
		"nats://u:********@a:4222,nats://********@b", "tercet.yaml:2", "TERCET_RESP_PASSWORD", "--http-token",
		"l1.size", "256MiB", "default",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "warmer.") {
		t.Errorf("shows what a node does not use:\n%s", got)
	}
}

func TestNeed(t *testing.T) {
	c, err := given{binary: ForCLI, args: []string{"--domain=shop"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Need("domain"); err != nil {
		t.Error(err)
	}
	if err := c.Need("domain", "nats.url"); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
}
