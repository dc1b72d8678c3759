package http_test

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/origin/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an origin server and an Origin with the route prefix "page:" to
// it.
func serve(t *testing.T, c http.Config, h nethttp.HandlerFunc) *http.Origin {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	for i := range c.Routes {
		c.Routes[i].URL = s.URL + c.Routes[i].URL
	}
	if c.Routes == nil {
		c.Routes = []http.Route{{Prefix: "page:", URL: s.URL + "/{rest}"}}
	}
	o, err := http.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func TestKeysBecomeURLs(t *testing.T) {
	var got string
	o := serve(t, http.Config{Routes: []http.Route{
		{Prefix: "", URL: "/any/{key}"},
		{Prefix: "page:", URL: "/pages/{rest}"},
		{Prefix: "page:tea:", URL: "/tea?id={rest}&of={key}"},
		{Prefix: "file:", URL: "/files/{path}"},
	}}, func(w nethttp.ResponseWriter, r *nethttp.Request) { got = r.RequestURI })
	for key, want := range map[string]string{
		"page:7":              "/pages/7",
		"page:a/b?c#d":        "/pages/a%2Fb%3Fc%23d",
		"page:../../secret":   "/pages/..%2F..%2Fsecret",
		"page:":               "/pages/",
		"page:tea:1 2&admin=": "/tea?id=1+2%26admin%3D&of=page%3Atea%3A1+2%26admin%3D",
		"file:a/b c":          "/files/a/b%20c",
		"other:1":             "/any/other:1",
		"\x00\xff":            "/any/%00%FF",
	} {
		if _, err := o.Fetch(t.Context(), key); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", key, got, err, want)
		}
	}
	got = ""
	for _, key := range []string{"file:a/../b", "page:..", "file:.", ".."} {
		if _, err := o.Fetch(t.Context(), key); !errors.Is(err, http.ErrNoRoute) || got != "" {
			t.Errorf("%q: asked for %q, %v", key, got, err)
		}
	}
}

func TestAKeyWithoutRoute(t *testing.T) {
	o := serve(t, http.Config{}, func(nethttp.ResponseWriter, *nethttp.Request) { t.Error("asked") })
	if _, err := o.Fetch(t.Context(), "other"); !errors.Is(err, http.ErrNoRoute) || o.Serves("other") || !o.Serves("page:1") {
		t.Error(err)
	}
}

func TestHeadersDecide(t *testing.T) {
	var header nethttp.Header
	o := serve(t, http.Config{}, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		fmt.Fprint(w, "body")
	})
	date := "Mon, 02 Jan 2006 15:04:05 GMT"
	for name, tc := range map[string]struct {
		header nethttp.Header
		ttl    time.Duration
		store  bool
	}{
		"nothing said":          {nil, 0, true},
		"max-age":               {nethttp.Header{"Cache-Control": {"public, max-age=60"}}, time.Minute, true},
		"s-maxage is for us":    {nethttp.Header{"Cache-Control": {"max-age=60, s-maxage=10"}}, 10 * time.Second, true},
		"two headers":           {nethttp.Header{"Cache-Control": {"max-age=60", "no-store"}}, 0, false},
		"age is taken off":      {nethttp.Header{"Cache-Control": {"max-age=60"}, "Age": {"20"}}, 40 * time.Second, true},
		"stale on arrival":      {nethttp.Header{"Cache-Control": {"max-age=60"}, "Age": {"60"}}, 0, false},
		"max-age=0":             {nethttp.Header{"Cache-Control": {"max-age=0"}}, 0, false},
		"no-store":              {nethttp.Header{"Cache-Control": {"no-store, max-age=60"}}, 0, false},
		"private":               {nethttp.Header{"Cache-Control": {"private"}}, 0, false},
		"no-cache":              {nethttp.Header{"Cache-Control": {"no-cache"}}, 0, false},
		"unreadable":            {nethttp.Header{"Cache-Control": {`max-age="`}}, 0, false},
		"vary by everything":    {nethttp.Header{"Vary": {"*"}}, 0, false},
		"expires":               {nethttp.Header{"Date": {date}, "Expires": {"Mon, 02 Jan 2006 15:05:05 GMT"}}, time.Minute, true},
		"expired":               {nethttp.Header{"Date": {date}, "Expires": {date}}, 0, false},
		"expires: 0":            {nethttp.Header{"Expires": {"0"}}, 0, false},
		"max-age beats expires": {nethttp.Header{"Cache-Control": {"max-age=60"}, "Expires": {"0"}}, time.Minute, true},
	} {
		header = tc.header
		r, err := o.Fetch(t.Context(), "page:1")
		if err != nil || string(r.Body) != "body" || r.TTL != tc.ttl || r.Store != tc.store {
			t.Errorf("%s: %+v, %v; want %v, %v", name, r, err, tc.ttl, tc.store)
		}
	}
	header = nethttp.Header{"Surrogate-Key": {"a b"}, "Cache-Tag": {"c, d," + strings.Repeat("x", 600)}}
	if r, err := o.Fetch(t.Context(), "page:1"); err != nil || !slices.Equal(r.Tags, []string{"a", "b", "c", "d"}) {
		t.Errorf("tags %q, %v", r.Tags, err)
	}
}

func TestStatus(t *testing.T) {
	var status int
	var location string
	o := serve(t, http.Config{NegativeTTL: 7 * time.Second}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if location != "" {
			w.Header().Set("Location", location)
		}
		if r.URL.Path == "/elsewhere" {
			status = 200
		}
		w.WriteHeader(status)
	})
	for _, status = range []int{404, 410} {
		r, err := o.Fetch(t.Context(), "page:1")
		if err != nil || !r.NotFound || !r.Store || r.TTL != 7*time.Second || r.Body != nil {
			t.Errorf("%d: %+v, %v", status, r, err)
		}
	}
	for _, s := range []int{500, 503, 429, 401, 204, 206} {
		status = s
		_, err := o.Fetch(t.Context(), "page:1")
		var typed *http.StatusError
		if !errors.As(err, &typed) || typed.Status != s || !errors.Is(err, http.ErrStatus) {
			t.Errorf("%d: %v", s, err)
		}
	}
	status, location = 302, "/elsewhere"
	if _, err := o.Fetch(t.Context(), "page:1"); err != nil {
		t.Errorf("redirect on the same host: %v", err)
	}
	status, location = 302, "http://127.0.0.1:1/elsewhere"
	if _, err := o.Fetch(t.Context(), "page:1"); !errors.Is(err, http.ErrStatus) {
		t.Errorf("redirect to another server: %v", err)
	}
	if c := o.Counters(); c.NotFound != 2 || c.Failed != 7 || c.Fetched != 1 {
		t.Errorf("%+v", c)
	}
}

func TestSizeIsBounded(t *testing.T) {
	chunked := false
	o := serve(t, http.Config{MaxBody: 100}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if chunked {
			w.(nethttp.Flusher).Flush()
		}
		n := 100
		if strings.HasSuffix(r.URL.Path, "large") {
			n++
		}
		fmt.Fprint(w, strings.Repeat("x", n))
	})
	for _, chunked = range []bool{false, true} {
		if r, err := o.Fetch(t.Context(), "page:fits"); err != nil || len(r.Body) != 100 {
			t.Errorf("%d bytes, %v", len(r.Body), err)
		}
		if _, err := o.Fetch(t.Context(), "page:large"); !errors.Is(err, http.ErrTooLarge) {
			t.Errorf("chunked %v: %v", chunked, err)
		}
	}
}

func TestTimeIsBounded(t *testing.T) {
	release := make(chan struct{})
	o := serve(t, http.Config{Timeout: 20 * time.Millisecond}, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.(nethttp.Flusher).Flush() // the head comes at once, the body never
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	if _, err := o.Fetch(t.Context(), "page:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	var running, most atomic.Int64
	enter, release := make(chan struct{}, 10), make(chan struct{})
	o := serve(t, http.Config{Concurrency: 2}, func(nethttp.ResponseWriter, *nethttp.Request) {
		most.Store(max(most.Load(), running.Add(1)))
		enter <- struct{}{}
		<-release
		running.Add(-1)
	})
	done := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := o.Fetch(context.Background(), "page:1")
			done <- err
		}()
	}
	<-enter
	<-enter
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := o.Fetch(ctx, "page:2"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third went through: %v", err)
	}
	close(release)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, url := range []string{
		"", "ftp://host/{key}", "/{key}", "http://{key}/x", "http://{key}.host/x", "http://host:{key}/", "http://{key}@host/",
		"http://host/fixed", "http://host/{name}", "http://host/{key", "{key}", "http://host/x#{key}",
	} {
		if _, err := http.New(http.Config{Routes: []http.Route{{URL: url}}}); !errors.Is(err, http.ErrConfig) {
			t.Errorf("%q: %v", url, err)
		}
	}
	twice := http.Route{Prefix: "a:", URL: "http://host/{key}"}
	for _, c := range []http.Config{{}, {Routes: []http.Route{twice, twice}}, {Routes: []http.Route{twice}, Timeout: -1}} {
		if _, err := http.New(c); !errors.Is(err, http.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzAKeyStaysWithinItsRoute(f *testing.F) {
	for _, k := range []string{"1", "../x", "//evil", "a?b=c&d", "%2e%2e", "\\", "@host", "#", "\r\nHost: evil"} {
		f.Add(k)
	}
	var path, query, host string
	transport := roundTrip(func(r *nethttp.Request) (*nethttp.Response, error) {
		path, query, host = r.URL.EscapedPath(), r.URL.RawQuery, r.URL.Host
		return nil, errors.New("seen")
	})
	o, err := http.New(http.Config{Transport: transport, Routes: []http.Route{
		{Prefix: "p:", URL: "http://origin/base/{rest}"}, {Prefix: "q:", URL: "http://origin/base?id={rest}"},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		path, query, host = "", "", ""
		if _, err := o.Fetch(t.Context(), "p:"+rest); !errors.Is(err, http.ErrNoRoute) {
			if host != "origin" || query != "" || !strings.HasPrefix(path, "/base/") || strings.Count(path, "/") != 2 {
				t.Errorf("%q led to %s%s?%s", rest, host, path, query)
			}
		}
		if _, err := o.Fetch(t.Context(), "q:"+rest); err != nil {
			if host != "origin" || path != "/base" || !strings.HasPrefix(query, "id=") || strings.ContainsAny(query, "&;#") || strings.Count(query, "=") != 1 {
				t.Errorf("%q led to %s%s?%s", rest, host, path, query)
			}
		}
	})
}

type roundTrip func(*nethttp.Request) (*nethttp.Response, error)

func (f roundTrip) RoundTrip(r *nethttp.Request) (*nethttp.Response, error) { return f(r) }
