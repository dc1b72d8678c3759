package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

var (
	// ErrConfig reports a configuration that breaks a rule.
	ErrConfig = errors.New("invalid HTTP origin")
	// ErrNoRoute reports a key that no route leads anywhere.
	ErrNoRoute = errors.New("no route for the key")
	// ErrTooLarge reports an answer beyond the size limit.
	ErrTooLarge = errors.New("answer is too large")
	// ErrStatus reports an answer that is neither a value nor the lack of one.
	ErrStatus = errors.New("unexpected status")
)

// StatusError is an [ErrStatus].
type StatusError struct {
	Key    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("origin of %q answered %d %s: %v", e.Key, e.Status, nethttp.StatusText(e.Status), ErrStatus)
}

func (e *StatusError) Unwrap() error { return ErrStatus }

// Config shapes an [Origin]. Zero fields take their defaults.
type Config struct {
	// Routes say where values are; at least one.
	Routes []Route
	// Timeout bounds one request with its body; default 5 s.
	Timeout time.Duration
	// MaxBody is the largest body in bytes; default 16 MiB.
	MaxBody int64
	// Concurrency is how many requests run at once, over all routes; default
	// 64. Others wait as long as their ctx lets them.
	Concurrency int
	// NegativeTTL is how long the lack of a value is remembered if the answer
	// does not say; default 10 s.
	NegativeTTL time.Duration
	// Transport carries the requests; default one of its own with the
	// standard settings, closed by Close.
	Transport nethttp.RoundTripper
}

// Response is what an origin answered.
type Response struct {
	// Body is the value; nil if there is none.
	Body []byte
	// NotFound says that the origin has no such value (404, 410).
	NotFound bool
	// Store says whether a shared cache may keep the answer.
	Store bool
	// TTL is how long; 0: the server left it open.
	TTL time.Duration
	// Tags are those of the headers Surrogate-Key and Cache-Tag, as far as
	// they are valid tags.
	Tags []string
}

// Origin fetches values over HTTP. Its methods are safe for concurrent use.
type Origin struct {
	config    Config
	templates []template // longest prefix first
	client    *nethttp.Client
	slots     chan struct{}
	counts    counters
}

// New returns an origin; it connects to nothing yet.
func New(c Config) (*Origin, error) {
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 16<<20)
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.NegativeTTL = cmp.Or(c.NegativeTTL, 10*time.Second)
	if len(c.Routes) == 0 || c.Timeout < 0 || c.MaxBody < 0 || c.Concurrency < 0 || c.NegativeTTL < 0 {
		return nil, fmt.Errorf("%w: %d routes, timeout %v, largest body %d, concurrency %d, negative TTL %v: want all positive",
			ErrConfig, len(c.Routes), c.Timeout, c.MaxBody, c.Concurrency, c.NegativeTTL)
	}
	if c.Transport == nil {
		c.Transport = nethttp.DefaultTransport.(*nethttp.Transport).Clone()
	}
	o := &Origin{config: c, slots: make(chan struct{}, c.Concurrency)}
	for _, r := range c.Routes {
		t, err := parse(r)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(o.templates, func(other template) bool { return other.prefix == t.prefix }) {
			return nil, fmt.Errorf("%w: two routes for the prefix %q", ErrConfig, t.prefix)
		}
		o.templates = append(o.templates, t)
	}
	slices.SortFunc(o.templates, func(a, b template) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	o.client = &nethttp.Client{Transport: c.Transport, CheckRedirect: sameHost}
	return o, nil
}

// sameHost follows a few redirects, and none to another server: who answers
// for a key is for the configuration to say.
func sameHost(req *nethttp.Request, via []*nethttp.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return nethttp.ErrUseLastResponse
	}
	return nil
}

// Close closes idle connections.
func (o *Origin) Close() { o.client.CloseIdleConnections() }

// Serves reports whether a route leads somewhere for key.
func (o *Origin) Serves(key string) bool { return o.route(key) != nil }

func (o *Origin) route(key string) *template {
	for i := range o.templates {
		if t := &o.templates[i]; strings.HasPrefix(key, t.prefix) {
			return t
		}
	}
	return nil
}

// Fetch asks the origin for key. Errors: [ErrNoRoute], [ErrTooLarge],
// *[StatusError], ctx's, the network's.
func (o *Origin) Fetch(ctx context.Context, key string) (Response, error) {
	r, err := o.fetch(ctx, key)
	switch {
	case err == nil && r.NotFound:
		o.counts.notFound.Add(1)
	case err == nil:
		o.counts.fetched.Add(1)
		o.counts.bytes.Add(uint64(len(r.Body)))
	case !errors.Is(err, ErrNoRoute):
		o.counts.failed.Add(1)
	}
	if err == nil && !r.Store {
		o.counts.unstorable.Add(1)
	}
	return r, err
}

func (o *Origin) fetch(ctx context.Context, key string) (Response, error) {
	t := o.route(key)
	if t == nil {
		return Response{}, fmt.Errorf("key %.100q: %w", key, ErrNoRoute)
	}
	u, err := t.expand(key)
	if err != nil {
		return Response{}, err
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, o.config.Timeout)
	defer cancel()
	req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, u.String(), nil)
	if err != nil {
		return Response{}, fmt.Errorf("fetch %.100q: %w", key, err)
	}
	req.Header.Set("User-Agent", "tercet")
	answer, err := o.client.Do(req)
	if err != nil {
		return Response{}, fmt.Errorf("fetch %.100q: %w", key, err)
	}
	defer answer.Body.Close()
	return o.judge(key, answer)
}

func (o *Origin) judge(key string, answer *nethttp.Response) (Response, error) {
	ttl, store := freshness(answer.Header, time.Now())
	r := Response{Store: store, TTL: ttl, Tags: validTags(tags(answer.Header))}
	switch answer.StatusCode {
	case nethttp.StatusOK:
	case nethttp.StatusNotFound, nethttp.StatusGone:
		r.NotFound = true
		if r.Store && r.TTL == 0 {
			r.TTL = o.config.NegativeTTL
		}
		return r, nil
	default:
		return Response{}, &StatusError{Key: key, Status: answer.StatusCode}
	}
	if answer.ContentLength > o.config.MaxBody {
		return Response{}, fmt.Errorf("fetch %.100q: %w: %d bytes, at most %d", key, ErrTooLarge, answer.ContentLength, o.config.MaxBody)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, o.config.MaxBody+1))
	if err != nil {
		return Response{}, fmt.Errorf("fetch %.100q: %w", key, err)
	}
	if int64(len(body)) > o.config.MaxBody {
		return Response{}, fmt.Errorf("fetch %.100q: %w: more than %d bytes", key, ErrTooLarge, o.config.MaxBody)
	}
	r.Body = body
	return r, nil
}

func validTags(all []string) []string {
	out := slices.DeleteFunc(all, func(t string) bool { return events.ValidateTag(t) != nil })
	return out[:min(len(out), events.MaxTags)]
}

// Counters are what an origin was asked since it was made.
type Counters struct {
	Fetched, NotFound, Failed uint64
	// Unstorable answers are among the fetched and not found.
	Unstorable uint64
	Bytes      uint64
}

type counters struct{ fetched, notFound, failed, unstorable, bytes atomic.Uint64 }

// Counters returns the current counts.
func (o *Origin) Counters() Counters {
	c := &o.counts
	return Counters{
		Fetched: c.fetched.Load(), NotFound: c.notFound.Load(), Failed: c.failed.Load(),
		Unstorable: c.unstorable.Load(), Bytes: c.bytes.Load(),
	}
}
