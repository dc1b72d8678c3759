package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type running struct {
	*Server
	t      *testing.T
	cache  *servertest.Cache
	client *http.Client
	stop   func() error
}

func start(t *testing.T, cfg Config) running {
	t.Helper()
	cache := servertest.New()
	cfg.Addr, cfg.Domain = "127.0.0.1:0", "shop"
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "metric 1") })
	events := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	s, err := New(Deps{Cache: cache, Metrics: metrics, Events: events}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Listening():
	case err := <-ended:
		t.Fatal(err)
	}
	transport := &http.Transport{}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return running{s, t, cache, &http.Client{Transport: transport}, stop}
}

// do sends a request; headers are name and value in turn.
func (r running) do(method, path, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(b)
}

func (r running) expect(code int, method, path, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	res, got := r.do(method, path, body, headers...)
	if res.StatusCode != code {
		r.t.Errorf("%s %s: %d %s, want %d", method, path, res.StatusCode, got, code)
	}
	if code >= 400 {
		var p problem
		if err := json.Unmarshal([]byte(got), &p); err != nil || p.Status != code || !strings.HasPrefix(p.Type, problemPrefix) ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			r.t.Errorf("%s %s: %q is no problem document", method, path, got)
		}
	}
	return res, got
}

// inDomains runs test in front of caches of one, three and eight partitions.
func inDomains(t *testing.T, test func(t *testing.T, s running)) {
	for _, n := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("%d partitions", n), func(t *testing.T) {
			s := start(t, Config{})
			s.cache.Split(n)
			test(t, s)
		})
	}
}

func TestValues(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		for _, key := range []string{"user:1", "a/b//../c d%?", "é\x00\xff", "..", "."} {
			path := "/v1/shop/keys/" + strings.ReplaceAll(url.PathEscape(key), ".", "%2E")
			s.expect(404, "GET", path, "")
			res, _ := s.expect(204, "PUT", path, "value\x00", "Tercet-TTL", "90", "Tercet-Tags", "a, b", "Tercet-Tags", "c", "Tercet-Concern", "everywhere")
			token := res.Header.Get("Tercet-Token")
			if put := s.cache.LastPut(); put.TTL != 90*time.Second || !slices.Equal(put.Tags, []string{"a", "b", "c"}) || put.Concern != node.Everywhere {
				t.Errorf("put %+v", put)
			}
			res, body := s.expect(200, "GET", path, "", "Tercet-Token", token)
			h := res.Header
			if body != "value\x00" || h.Get("Tercet-TTL") != "90" || h.Get("Tercet-Tags") != "a,b,c" || h.Get("Tercet-Source") != "memory" ||
				h.Get("Cache-Control") != "no-store" || h.Get("Tercet-Token") == "" {
				t.Errorf("%q: %q, %v", key, body, h)
			}
			levels := s.cache.Levels()
			if got := levels[len(levels)-1]; got.Kind() != consistency.KindSession {
				t.Errorf("a read with a token was done at %v", got)
			}
			s.expect(204, "DELETE", path, "")
			if fence, _ := s.cache.LastFence(); !slices.Equal(fence.Scope.Keys, []string{key}) {
				t.Errorf("DELETE fenced %q, want %q", fence.Scope.Keys, key)
			}
			s.expect(404, "GET", path, "")
		}
	})
}

func TestLevels(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		s.expect(204, "PUT", "/v1/shop/keys/k", "v")
		token := s.cache.Token().String()
		for given, want := range map[string]string{
			"": "bounded", "strong": "strong", "bounded 100": "bounded 100", "eventual": "eventual",
			"session " + token: "session " + token,
		} {
			s.expect(200, "GET", "/v1/shop/keys/k", "", "Tercet-Level", given)
			levels := s.cache.Levels()
			if got := levels[len(levels)-1].String(); got != want {
				t.Errorf("%q was read at %q", given, got)
			}
		}
		for _, given := range []string{"sometimes", "session", "session !", "bounded -1"} {
			s.expect(400, "GET", "/v1/shop/keys/k", "", "Tercet-Level", given)
		}
		s.expect(400, "GET", "/v1/shop/keys/k", "", "Tercet-Token", "!!!")
		ahead := s.cache.Ahead("k")
		s.expect(503, "GET", "/v1/shop/keys/k", "", "Tercet-Token", ahead.String())
	})
}

func TestInvalidate(t *testing.T) {
	inDomains(t, func(t *testing.T, s running) {
		res, _ := s.expect(204, "POST", "/v1/shop/invalidate",
			`{"keys":["a"],"tags":["t"],"prefixes":["u:"],"globs":["g*"],"soft":true,"concern":"everywhere"}`, "Traceparent", "00-x")
		want := events.Invalidate{Scope: events.Scope{Keys: []string{"a"}, Tags: []string{"t"}, Prefixes: []string{"u:"}, Globs: []string{"g*"}}, Soft: true, Cause: events.Cause{Trace: "00-x"}}
		if got, concern := s.cache.LastFence(); !reflect.DeepEqual(got, want) || concern != node.Everywhere {
			t.Errorf("got %+v, %v", got, concern)
		}
		if res.Header.Get("Tercet-Token") == "" {
			t.Error("no token")
		}
		for _, body := range []string{
			"", "{}", "[]", "null", `{"keys":[]}`, `{"keys":[""]}`, `{"prefixes":["user"]}`, `{"key":["a"]}`, `{"all":"yes"}`,
			`{"all":true}{"all":true}`, `{"all":true,"concern":"some"}`, `{"globs":["a\\"]}`,
		} {
			s.expect(400, "POST", "/v1/shop/invalidate", body)
		}
		s.expect(413, "POST", "/v1/shop/invalidate", strings.Repeat(" ", maxInvalidation+1))
	})
}

func TestRefused(t *testing.T) {
	s := start(t, Config{MaxValue: 10})
	s.expect(204, "PUT", "/v1/shop/keys/k", "0123456789")
	s.expect(413, "PUT", "/v1/shop/keys/k", "0123456789a")
	for _, ttl := range []string{"0", "-1", "x", "1y", "99999999h", "9999999999999"} {
		s.expect(400, "PUT", "/v1/shop/keys/k", "v", "Tercet-TTL", ttl)
	}
	s.expect(400, "PUT", "/v1/shop/keys/k", "v", "Tercet-Concern", "maybe")
	s.expect(400, "PUT", "/v1/shop/keys/"+strings.Repeat("k", events.MaxKey+1), "v")
	s.expect(404, "GET", "/v1/other/keys/k", "")
	s.expect(404, "GET", "/v1/shop/keys/", "")
	s.expect(404, "GET", "/v1/shop/nothing", "")
	res, _ := s.expect(405, "POST", "/v1/shop/keys/k", "")
	if got := res.Header.Get("Allow"); got != "GET, PUT, DELETE" {
		t.Errorf("Allow: %q", got)
	}
	for err, code := range map[error]int{
		node.ErrNotServing: 503, node.ErrOverloaded: 503, events.ErrNotLanded: 503, events.ErrIndeterminate: 504,
		context.DeadlineExceeded: 504, node.ErrTooLarge: 413, errors.New("odd"): 500,
	} {
		s.cache.Fail(err)
		res, _ := s.expect(code, "PUT", "/v1/shop/keys/k", "v")
		if (code == 503) != (res.Header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", err, res.Header.Get("Retry-After"))
		}
	}
}

func TestAuthorization(t *testing.T) {
	s := start(t, Config{Token: server.NewSecret("s3cret")})
	for _, rt := range append([]route{{method: "GET", path: metricsPath}, {method: "GET", path: "/nothing"}}, routes...) {
		path := strings.NewReplacer("{domain}", "other", "{key}", "k").Replace(rt.path)
		res, _ := s.do(rt.method, path, "{}")
		if open := res.StatusCode != 401; open != rt.open {
			t.Errorf("%s %s without the token: %d", rt.method, path, res.StatusCode)
		}
	}
	for _, bad := range []string{"s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Basic s3cret"} {
		s.expect(401, "GET", "/v1/shop/members", "", "Authorization", bad)
	}
	s.expect(200, "GET", "/v1/shop/members", "", "Authorization", "bearer s3cret")

	s.cache.Fail(fmt.Errorf("%w: secret reasons", node.ErrNotServing))
	if _, body := s.expect(503, "GET", "/readyz", ""); strings.Contains(body, "secret reasons") {
		t.Errorf("a stranger is told %s", body)
	}
	if _, body := s.expect(503, "GET", "/readyz", "", "Authorization", "Bearer s3cret"); !strings.Contains(body, "secret reasons") {
		t.Errorf("a friend is told %s", body)
	}
	s.expect(200, "GET", "/healthz", "")
}

func TestExplainMembersMetrics(t *testing.T) {
	s := start(t, Config{})
	s.expect(204, "PUT", "/v1/shop/keys/k", "v", "Tercet-Tags", "t")
	_, body := s.expect(200, "GET", "/v1/shop/explain/k", "")
	var x explanation
	if err := json.Unmarshal([]byte(body), &x); err != nil || x.Key != "k" || len(x.Tiers) != 1 || x.Tiers[0].Verdict != "alive" || x.Tiers[0].Birth != 1 || x.Tiers[0].Expiry != nil || len(x.Served) != 1 || x.Served[0].Birth != 1 {
		t.Errorf("%s, %v", body, err)
	}
	if _, body := s.expect(200, "GET", "/v1/shop/members", ""); !strings.Contains(body, `"node":"fake"`) {
		t.Error(body)
	}
	if _, body := s.expect(200, "GET", "/metrics", ""); body != "metric 1\n" {
		t.Error(body)
	}
	s.expect(202, "POST", "/v1/shop/events", "{}")
	s.expect(404, "POST", "/v1/other/events", "{}")
	if _, body := s.expect(200, "GET", "/openapi.yaml", ""); body != string(openAPI) {
		t.Error("another document is served")
	}
	if _, body := s.expect(200, "GET", "/readyz", ""); body != `{"status":"serving"}` {
		t.Error(body)
	}
}

// The document tells of exactly the routes that there are, and of every
// problem; what it refers to exists.
func TestDocumentAndRoutesAgree(t *testing.T) {
	var doc struct {
		Paths      map[string]map[string]any `yaml:"paths"`
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct {
						Type struct {
							Enum []string `yaml:"enum"`
						} `yaml:"type"`
					} `yaml:"properties"`
				} `yaml:"Problem"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, item := range doc.Paths {
		for method, operation := range item {
			if method == "parameters" {
				continue
			}
			described = append(described, strings.ToUpper(method)+" "+path)
			_, security := operation.(map[string]any)["security"]
			i := slices.IndexFunc(routes, func(r route) bool { return r.path == path && strings.EqualFold(r.method, method) })
			if i >= 0 && routes[i].open != security {
				t.Errorf("%s %s: open here and there differ", method, path)
			}
		}
	}
	for _, r := range routes {
		served = append(served, r.method+" "+r.path)
	}
	served = append(served, "GET "+metricsPath)
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described\n%q\nserved\n%q", described, served)
	}
	var tree any
	if err := yaml.Unmarshal(openAPI, &tree); err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(openAPI, []byte("\n")) {
		_, ref, ok := strings.Cut(string(line), `$ref: "#/`)
		if !ok {
			continue
		}
		ref, _, _ = strings.Cut(ref, `"`)
		at := tree
		for part := range strings.SplitSeq(ref, "/") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
		if at == nil {
			t.Errorf("%s refers to nothing", ref)
		}
	}
	for _, p := range []problem{
		problemUnauthorized, problemDomain, problemRoute, problemMethod, problemNotFound, problemNotReady, problemOverloaded,
		problemNotLanded, problemIndeterminate, problemTimeout, problemInvalid, problemTooLarge, problemInternal,
	} {
		if !slices.Contains(doc.Components.Schemas.Problem.Properties.Type.Enum, p.Type) {
			t.Errorf("%s is not described", p.Type)
		}
	}
}

func TestStopWaitsForRequestsButNotForEver(t *testing.T) {
	for _, drain := range []time.Duration{time.Hour, time.Millisecond} {
		s := start(t, Config{DrainTimeout: drain, RequestTimeout: time.Hour})
		begun, release := make(chan struct{}), make(chan struct{})
		s.cache.BeforePut = func(ctx context.Context, _ string) {
			close(begun)
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		code := make(chan int, 1)
		go func() {
			req, _ := http.NewRequest("PUT", "http://"+s.Addr().String()+"/v1/shop/keys/k", strings.NewReader("v"))
			res, err := s.client.Do(req)
			if err != nil {
				code <- 0
				return
			}
			_ = res.Body.Close()
			code <- res.StatusCode
		}()
		<-begun
		if drain == time.Hour {
			ended := make(chan error, 1)
			go func() { ended <- s.stop() }()
			close(release)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if got := <-code; got != 204 {
				t.Errorf("the request under way was answered %d", got)
			}
			continue
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		<-code
	}
}

func FuzzInvalidation(f *testing.F) {
	f.Add([]byte(`{"keys":["a"],"soft":true,"concern":"everywhere"}`))
	f.Add([]byte(`{"all":true}`))
	f.Add([]byte(`{"prefixes":["a:"],"globs":["*"],"tags":["t"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		inv, _, err := parseInvalidation(b)
		if err != nil {
			if code := problemOf(err).Status; code != 400 {
				t.Errorf("%q: %d", b, code)
			}
			return
		}
		if inv.Scope.Empty() || inv.Scope.Validate() != nil {
			t.Errorf("%q: %+v", b, inv)
		}
	})
}
