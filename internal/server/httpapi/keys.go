package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// The headers of requests and answers.
const (
	// headerToken carries a session token, both ways.
	headerToken = "Tercet-Token"
	// headerLevel is a read's level, in the words of consistency.ParseLevel.
	headerLevel = "Tercet-Level"
	// headerTTL is a value's life: seconds in a request, or a duration as Go
	// writes it; seconds left in an answer.
	headerTTL = "Tercet-TTL"
	// headerTags are a value's tags, separated by commas.
	headerTags = "Tercet-Tags"
	// headerConcern is how far a write must reach: logged or everywhere.
	headerConcern = "Tercet-Concern"
	// headerSource tells which tier answered.
	headerSource = "Tercet-Source"
	// headerStale is "true" on an answer of a node that is cut off from the
	// log (policy serve), and on one from behind a soft fence.
	headerStale = "Tercet-Stale"
	// headerFallback is what a reader takes where no live copy is: "soft", a
	// copy behind a soft fence.
	headerFallback = "Tercet-Fallback"
)

// level reads a request's level. A token without a level asks for a session
// read.
func level(h http.Header) (consistency.Level, error) {
	words, token := h.Get(headerLevel), h.Get(headerToken)
	session := strings.EqualFold(strings.TrimSpace(words), "session")
	switch {
	case words == "" && token == "":
		return consistency.Level{}, nil
	case words == "" || session:
		if token == "" {
			return consistency.Level{}, invalid("level session needs the header " + headerToken)
		}
		t, err := consistency.ParseToken(token)
		return consistency.Session(t), err
	}
	l, err := consistency.ParseLevel(words)
	if err != nil {
		return l, invalid(err.Error())
	}
	return l, nil
}

func fallback(word string) (node.Fallback, error) {
	switch strings.ToLower(word) {
	case "", "none":
		return node.NoFallback, nil
	case "soft":
		return node.IfOriginFails, nil
	}
	return 0, invalid(fmt.Sprintf("%s %q: want soft or none", headerFallback, word))
}

func concern(word string) (node.Concern, error) {
	switch strings.ToLower(word) {
	case "", "logged":
		return node.Logged, nil
	case "everywhere":
		return node.Everywhere, nil
	}
	return 0, invalid(fmt.Sprintf("%s %q: want logged or everywhere", headerConcern, word))
}

func (s *Server) deadline(r *http.Request, c node.Concern) (context.Context, context.CancelFunc) {
	d := s.cfg.RequestTimeout
	if c == node.Everywhere {
		d = s.cfg.EverywhereTimeout
	}
	return context.WithTimeout(r.Context(), d)
}

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	l, err := level(r.Header)
	if err != nil {
		return err
	}
	o := node.ReadOptions{Level: l}
	if o.Fallback, err = fallback(r.Header.Get(headerFallback)); err != nil {
		return err
	}
	ctx, cancel := s.deadline(r, node.Logged)
	defer cancel()
	res, err := s.cache.Get(ctx, r.PathValue("key"), nil, o)
	if err == nil && res.Entry.Flags()&tiers.FlagNegative != 0 {
		err = node.ErrNotFound
	}
	// A reader that was told "nothing here" has seen that as well.
	s.setToken(w, r, consistency.Token{})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set(headerSource, res.Source.String())
	if res.Stale {
		h.Set(headerStale, "true")
	}
	if expiry := res.Entry.ExpiryMilli(); expiry != 0 {
		left := max(time.Until(time.UnixMilli(expiry)), 0)
		h.Set(headerTTL, strconv.FormatInt(int64((left+time.Second/2)/time.Second), 10))
	}
	var tags []string
	for t := range res.Entry.Tags() {
		if plainTag(t) {
			tags = append(tags, t)
		}
	}
	if len(tags) > 0 {
		h.Set(headerTags, strings.Join(tags, ","))
	}
	// Nobody but Tercet may cache what Tercet answers: it could not be fenced.
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(res.Entry.Payload())))
	_, _ = w.Write(res.Entry.Payload())
	return nil
}

// plainTag reports whether a tag can stand in a list in a header.
func plainTag(t string) bool {
	return strings.TrimSpace(t) == t && !strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == ',' || r > '~' })
}

// setToken tells the client what it has seen: what it brought, what its write
// returned and what this node has applied.
func (s *Server) setToken(w http.ResponseWriter, r *http.Request, written consistency.Token) {
	t, err := consistency.ParseToken(r.Header.Get(headerToken))
	if err != nil {
		t = consistency.Token{}
	}
	if text := t.Join(s.cache.Token()).Join(written).String(); text != "" {
		w.Header().Set(headerToken, text)
	}
}

func (s *Server) putKey(w http.ResponseWriter, r *http.Request) error {
	var o node.PutOptions
	var err error
	if o.TTL, err = ttl(r.Header.Get(headerTTL)); err != nil {
		return err
	}
	if o.Concern, err = concern(r.Header.Get(headerConcern)); err != nil {
		return err
	}
	for _, line := range r.Header.Values(headerTags) {
		for t := range strings.SplitSeq(line, ",") {
			if t = strings.TrimSpace(t); t != "" {
				o.Tags = append(o.Tags, t)
			}
		}
	}
	value, err := body(w, r, s.cfg.MaxValue)
	if err != nil {
		return err
	}
	ctx, cancel := s.deadline(r, o.Concern)
	defer cancel()
	t, err := s.cache.Put(ctx, r.PathValue("key"), value, o)
	return s.written(w, r, t, err)
}

// written answers a write.
func (s *Server) written(w http.ResponseWriter, r *http.Request, t consistency.Token, err error) error {
	if err != nil {
		return err
	}
	s.setToken(w, r, t)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ttl reads seconds or a duration; 0 for "".
func ttl(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	const most = 100 * 365 * 24 * time.Hour
	d, err := time.ParseDuration(s)
	if n, numeric := strconv.ParseInt(s, 10, 32); numeric == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 || d > most {
		return 0, invalid(fmt.Sprintf("%s %q: want seconds, or a duration such as 90s or 24h", headerTTL, s))
	}
	return d, nil
}

// body reads the request's body, at most n bytes.
func body(w http.ResponseWriter, r *http.Request, n int64) ([]byte, error) {
	var b bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= n {
		b.Grow(int(r.ContentLength))
	}
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, n))
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return nil, invalid("the body broke off: " + err.Error())
	}
	return b.Bytes(), err
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) error {
	c, err := concern(r.Header.Get(headerConcern))
	if err != nil {
		return err
	}
	ctx, cancel := s.deadline(r, c)
	defer cancel()
	t, err := s.cache.Invalidate(ctx, events.Invalidate{Scope: events.Scope{Keys: []string{r.PathValue("key")}}}, node.InvalidateOptions{Concern: c})
	return s.written(w, r, t, err)
}
