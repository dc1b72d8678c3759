package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cli runs one command line and returns what it printed and its exit code.
func cli(t *testing.T, stdin string, words ...string) (out, problem string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := newApp(strings.NewReader(stdin), &stdout, &stderr).command()
	cmd.SetArgs(words)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(&stderr, "%v\n%s", err, hintFor(err))
	}
	return stdout.String(), stderr.String(), exitCode(ctx, err)
}

// must runs a command line that has to succeed.
func must(t *testing.T, words ...string) string {
	t.Helper()
	out, problem, code := cli(t, "", words...)
	if code != 0 {
		t.Fatalf("tercet %q: exit code %d\n%s%s", words, code, out, problem)
	}
	return out
}

// environment points the command line at a server of the test's.
func environment(t *testing.T) *process.NATSServer {
	t.Helper()
	s := process.NATS(t)
	t.Setenv("TERCET_NATS_URL", s.URL())
	t.Setenv("TERCET_DOMAIN", "shop")
	return s
}

func TestDomains(t *testing.T) {
	environment(t)
	if out := must(t, "domain", "list"); !strings.Contains(out, "tercet domain create") {
		t.Errorf("an empty list says %q", out)
	}
	out := must(t, "domain", "create", "shop", "--partitions", "2", "--lease", "5s", "--max-ttl", "1h",
		"--outage", "2h", "--drift-ppm", "500", "--inline-max", "1000", "--policy", "serve")
	for _, want := range []string{"2 x (1h0m0s max ttl + 2h0m0s outage)", "6h0m0s", "500 ppm", "serve", "1000 bytes"} {
		if !strings.Contains(out, want) {
			t.Errorf("create does not say %q:\n%s", want, out)
		}
	}
	must(t, "domain", "create", "shop", "--partitions", "2", "--lease", "5s", "--max-ttl", "1h",
		"--outage", "2h", "--drift-ppm", "500", "--inline-max", "1000", "--policy", "serve")
	if _, problem, code := cli(t, "", "domain", "create", "shop"); code != codeUsage || !strings.Contains(problem, "fixed") {
		t.Errorf("other settings: code %d, %s", code, problem)
	}
	var view domainView
	if err := json.Unmarshal([]byte(must(t, "domain", "show", "shop", "--json")), &view); err != nil {
		t.Fatal(err)
	}
	if view.Partitions != 2 || view.Lease != "5s" || view.Retention != "6h0m0s" || len(view.Logs) != 2 || view.Logs[1].Last != 1 {
		t.Errorf("%+v", view)
	}
	var all []listed
	if err := json.Unmarshal([]byte(must(t, "domain", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "shop" || all[0].Domain == nil {
		t.Errorf("%+v", all)
	}
	if out := must(t, "domain", "list"); !strings.Contains(out, "shop") || !strings.Contains(out, "DOMAIN") {
		t.Errorf("list:\n%s", out)
	}
	if _, problem, code := cli(t, "", "domain", "delete", "shop"); code != codeUsage || !strings.Contains(problem, "--yes") {
		t.Errorf("delete without --yes: code %d, %s", code, problem)
	}
	must(t, "domain", "delete", "shop", "--yes")
	for _, words := range [][]string{{"domain", "show", "shop"}, {"domain", "delete", "shop", "--yes"}, {"tail"}, {"invalidate", "k"}, {"set", "k", "v"}} {
		if _, problem, code := cli(t, "", words...); code != codeNotFound || !strings.Contains(problem, "tercet domain create") && words[1] != "delete" {
			t.Errorf("%q without the domain: code %d, %s", words, code, problem)
		}
	}
}

// records returns the log from its first record, as tail --json prints it.
func records(t *testing.T, n int, words ...string) []replay.View {
	t.Helper()
	out := must(t, append([]string{"tail", "--from", "first", "--json", "--count", fmt.Sprint(n)}, words...)...)
	var all []replay.View
	for line := range strings.Lines(out) {
		var v replay.View
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestWritesStandInTheLog(t *testing.T) {
	environment(t)
	must(t, "domain", "create", "shop")
	must(t, "set", "product:1", "12.50", "--ttl", "10m", "--tag", "a", "--tag", "b", "--row-version", "7")
	if _, problem, code := cli(t, "from stdin", "set", "in", "-"); code != 0 {
		t.Fatal(problem)
	}
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "set", "file", "@"+file)
	must(t, "invalidate", "product:1", "two words", "--tag", "t", "--prefix", "product:", "--glob", "a*", "--soft", "--source-position", "0/16B3748")
	must(t, "invalidate", "--all")
	all := records(t, 6)
	put := all[1].Changes[0]
	if all[0].Changes[0].Kind != "epoch" || put.Kind != "put" || put.Keys[0] != "product:1" || *put.ValueBytes != 5 || *put.Version != 7 ||
		strings.Join(put.Tags, " ") != "a b" || put.Expires.Sub(all[1].Time).Round(time.Minute) != 10*time.Minute {
		t.Errorf("%+v", all[:2])
	}
	if *all[2].Changes[0].ValueBytes != len("from stdin") || *all[3].Changes[0].ValueBytes != len("from a file") {
		t.Errorf("%+v", all[2:4])
	}
	inv := all[4].Changes[0]
	if inv.Kind != "invalidate" || len(inv.Keys) != 2 || inv.Tags[0] != "t" || inv.Prefixes[0] != "product:" || inv.Globs[0] != "a*" || !inv.Soft || inv.Source != "0/16B3748" {
		t.Errorf("%+v", inv)
	}
	if !all[5].Changes[0].All {
		t.Errorf("%+v", all[5])
	}
	text := must(t, "tail", "--from", "5", "--count", "2")
	for _, want := range []string{"0/5", "invalidate", `product:1 "two words"`, "soft", "everything"} {
		if !strings.Contains(text, want) {
			t.Errorf("tail does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "0/4 ") {
		t.Errorf("tail --from 5 begins earlier:\n%s", text)
	}
}

func TestPartitionsGetTheirOwnKeys(t *testing.T) {
	environment(t)
	must(t, "domain", "create", "shop", "--partitions", "3")
	var w written
	if err := json.Unmarshal([]byte(must(t, "invalidate", "--tag", "t", "--json")), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Records) != 3 {
		t.Errorf("a fence of a tag landed in %+v, want all three partitions", w.Records)
	}
	w = written{}
	if err := json.Unmarshal([]byte(must(t, "invalidate", "k", "--json")), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Records) != 1 {
		t.Errorf("a fence of a key landed in %+v, want one partition", w.Records)
	}
	p := fmt.Sprint(w.Records[0].Partition)
	if all := records(t, 3, "--partition", p); all[2].Changes[0].Keys[0] != "k" {
		t.Errorf("%+v", all)
	}
}

func TestGetSeesWhatWasSetThroughRedis(t *testing.T) {
	environment(t)
	t.Setenv("TERCET_REDIS_URL", process.Redis(t).URL())
	must(t, "domain", "create", "shop", "--inline-max", "100", "--lease", "2s")
	if _, _, code := cli(t, "", "get", "large"); code != codeNotFound {
		t.Errorf("a miss: code %d", code)
	}
	large := strings.Repeat("x", 1000)
	must(t, "set", "large", large, "--tag", "t") // beyond inline_max: joins, and fills Redis
	if out := must(t, "get", "large"); out != large {
		t.Errorf("got %d bytes, want %d", len(out), len(large))
	}
	var v valueView
	if err := json.Unmarshal([]byte(must(t, "get", "large", "--json", "--level", "strong")), &v); err != nil {
		t.Fatal(err)
	}
	if *v.Text != large || v.Tags[0] != "t" || *v.TTL < 3500 || *v.TTL > 3600 {
		t.Errorf("%+v", v)
	}
	// A process that has just joined waits a lease: longer than --timeout here.
	must(t, "invalidate", "--tag", "t", "--everywhere", "--timeout", "1500ms")
	if _, _, code := cli(t, "", "get", "large"); code != codeNotFound {
		t.Errorf("after its invalidation: code %d", code)
	}
}

func TestALargeValueWithoutRedisIsRefused(t *testing.T) {
	environment(t)
	must(t, "domain", "create", "shop", "--inline-max", "100")
	if _, problem, code := cli(t, "", "set", "k", strings.Repeat("x", 1000)); code != codeUsage || !strings.Contains(problem, "--redis-url") {
		t.Errorf("code %d, %s", code, problem)
	}
}

func TestGetFromANode(t *testing.T) {
	t.Setenv("TERCET_DOMAIN", "shop")
	t.Setenv("TERCET_HTTP_TOKEN", "secret")
	var got *nethttp.Request
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		got = r
		switch r.PathValue("key"); r.URL.EscapedPath() {
		case "/v1/shop/keys/a%2Fb":
			w.Header().Set("Tercet-Source", "memory")
			w.Header().Set("Tercet-TTL", "42")
			w.Header().Set("Tercet-Tags", "x,y")
			w.Write([]byte{0xff, 0})
		case "/v1/shop/keys/busy":
			w.WriteHeader(503)
			fmt.Fprint(w, `{"type":"urn:tercet:problem:not-serving","title":"The node does not serve now","detail":"cut off"}`)
		default:
			w.WriteHeader(404)
			fmt.Fprint(w, `{"type":"urn:tercet:problem:not-found","title":"No live copy of this key"}`)
		}
	}))
	defer s.Close()
	defer nethttp.DefaultClient.CloseIdleConnections()
	if out := must(t, "get", "a/b", "--node", s.URL, "--level", "bounded 500"); out != "\xff\x00" {
		t.Errorf("%q", out)
	}
	if got.Header.Get("Authorization") != "Bearer secret" || got.Header.Get("Tercet-Level") != "bounded 500" {
		t.Errorf("headers %v", got.Header)
	}
	var v valueView
	if err := json.Unmarshal([]byte(must(t, "get", "a/b", "--node", s.URL, "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(v.Base64, []byte{0xff, 0}) || v.Text != nil || *v.TTL != 42 || len(v.Tags) != 2 || v.Source != "memory" {
		t.Errorf("%+v", v)
	}
	if _, _, code := cli(t, "", "get", "none", "--node", s.URL); code != codeNotFound {
		t.Errorf("a miss: code %d", code)
	}
	if _, problem, code := cli(t, "", "get", "busy", "--node", s.URL); code != codeFailed || !strings.Contains(problem, "cut off") {
		t.Errorf("a node that is not ready: code %d, %s", code, problem)
	}
	s.Close()
	if _, _, code := cli(t, "", "get", "k", "--node", s.URL); code != codeUnreachable {
		t.Errorf("a node that is gone: code %d", code)
	}
}

func TestPublish(t *testing.T) {
	environment(t)
	if _, problem, code := cli(t, "", "publish", "--type", "shop.price.changed", "--timeout", "2s"); code == 0 || !strings.Contains(problem, "--create") {
		t.Errorf("without a stream: code %d, %s", code, problem)
	}
	if out := must(t, "publish", "--create", "--type", "shop.price.changed", "--id", "1", "--data", `{"id":1}`); !strings.Contains(out, "1 events stored") {
		t.Error(out)
	}
	if out := must(t, "publish", "--type", "shop.price.changed", "--id", "1"); !strings.Contains(out, "1 of them known already") {
		t.Error(out)
	}
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&lines, `{"specversion":"1.0","type":"shop.stock.changed","source":"/t","id":"%d","data":{"id":%d}}`+"\n", i, i)
	}
	var r published
	out, problem, code := cli(t, lines.String()+"\nnonsense\n{\"no\":\"type\"}\n"+strings.Repeat("x", maxEvent+10), "publish", "--file", "-", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != codeFailed || r.Read != 2003 || r.Stored != 2000 || r.Refused != 3 || r.Failed != 0 || !strings.Contains(problem, "line 2002:") {
		t.Errorf("code %d, %+v, %s", code, r, problem)
	}
	for _, words := range [][]string{{"publish"}, {"publish", "--type", "a", "--file", "b"}, {"publish", "--type", "a", "--data", "{"}, {"publish", "--file", "/does/not/exist"}} {
		if _, _, code := cli(t, "", words...); code != codeUsage {
			t.Errorf("%q: code %d", words, code)
		}
	}
}

func TestWrongUse(t *testing.T) {
	t.Setenv("TERCET_NATS_URL", "nats://127.0.0.1:1")
	t.Setenv("TERCET_DOMAIN", "shop")
	for _, tc := range []struct {
		code  int
		says  string
		words []string
	}{
		{codeUsage, "did you mean invalidate", []string{"invalidat"}},
		{codeUsage, "did you mean --redis-url", []string{"get", "k", "--redis-ulr", "x"}},
		{codeUsage, "tercet --help", []string{"get"}},
		{codeUsage, "with All", []string{"invalidate"}},
		{codeUsage, "a prefix ends with", []string{"invalidate", "--prefix", "product"}},
		{codeUsage, "want eventual", []string{"get", "k", "--level", "fresh"}},
		{codeUsage, "--node", []string{"get", "k", "--node", "localhost"}},
		{codeUsage, "--count", []string{"tail", "--count", "-1"}},
		{codeUsage, "--ttl", []string{"set", "k", "v", "--ttl", "-1s"}},
		{codeUnreachable, "is the server up", []string{"set", "k", "v"}},
		{codeUnreachable, "is the server up", []string{"domain", "list"}},
	} {
		_, problem, code := cli(t, "", tc.words...)
		if code != tc.code || !strings.Contains(problem, tc.says) {
			t.Errorf("tercet %q: code %d, want %d saying %q; says %s", tc.words, code, tc.code, tc.says, problem)
		}
	}
	t.Setenv("TERCET_NATS_URL", "")
	if _, problem, code := cli(t, "", "tail"); code != codeUsage || !strings.Contains(problem, "TERCET_NATS_URL") {
		t.Errorf("no NATS: code %d, %s", code, problem)
	}
}

func TestHelpIsComplete(t *testing.T) {
	out := must(t, "--help")
	for _, want := range []string{"Exit codes", "domain", "publish", "tail", "--nats-url", "TERCET_NATS_URL", "--json"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help does not say %q", want)
		}
	}
	for _, name := range []string{"domain create", "domain delete", "domain show", "get", "set", "invalidate", "publish", "tail", "brackets list", "brackets resolve",
		"rules check", "rules explain", "rules backtest", "rules schema"} {
		out := must(t, append(strings.Fields(name), "--help")...)
		if !strings.Contains(out, "Examples:") || strings.Contains(out, "--resp-") {
			t.Errorf("help of %s:\n%s", name, out)
		}
	}
	if out := must(t, "--print-config"); !strings.Contains(out, "nats.url") {
		t.Errorf("--print-config:\n%s", out)
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	environment(t)
	must(t, "domain", "create", "shop")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).command()
	cmd.SetArgs([]string{"tail"})
	time.AfterFunc(300*time.Millisecond, cancel)
	err := cmd.ExecuteContext(ctx)
	if !errors.Is(err, context.Canceled) || exitCode(ctx, err) != codeInterrupted {
		t.Errorf("%v, code %d", err, exitCode(ctx, err))
	}
}
